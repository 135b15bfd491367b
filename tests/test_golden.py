"""The golden pack, right ports that pass, wrong ports that are caught and named, files that are no ports at all."""

import hashlib
import json
import shutil
import subprocess
import tracemalloc
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import numpy as np
import pytest

from minconvbert.__main__ import main
from minconvbert.checkpoint.names import keras_table, original_table, plain, to_theirs
from minconvbert.checkpoint.safetensors import write_safetensors
from minconvbert.config import ConvBertConfig
from minconvbert.golden import cases, check, read_pack, score, trace
from minconvbert.golden.diagnosis import Evidence, diagnose_case
from minconvbert.golden.mistakes import MISTAKES, planted, rerun
from minconvbert.golden.pack import CASES, as_float, is_gradient, make
from minconvbert.golden.ports import aliases
from minconvbert.golden.scoring import KINDS, Line, Score, mistaken_port
from minconvbert.golden.tape import Tape
from minconvbert.golden.trace import BY_TAPE
from minconvbert.golden.wholes import TEXTS
from minconvbert.shapes import sub

HERE = Path(__file__).parent
PACK = HERE.parent / "minconvbert" / "golden" / "pack"
TABLE = PACK.parent / "SCORE.md"


def float32_port(golden):
    return CASES[golden.id].run(as_float(golden.given, np.float32))


def expected(id):
    """A port that is right: the truth itself, to be spoiled."""
    return {name: a.copy() for name, a in read_pack()[id].truth.items()}


# The pack

def test_the_pack_is_what_the_reference_computes():
    report = check(lambda golden: CASES[golden.id].run(golden.given), precision="float64", complete=True)
    assert report.ok and [case.id for case in report.cases] == list(CASES), report


def test_a_pack_made_anew_is_the_same(tmp_path):
    """Up to the last bits, which depend on the machine, and what is measured from them."""
    ids = ["op.linear", "model.one_token", "tokenizer.lines"]
    make(tmp_path, ids)
    made, committed = read_pack(tmp_path), read_pack()
    measured = ("scale", "noise", "tolerance")
    for id in ids:
        manifests = [golden.manifest | dict(tensors=[{k: v for k, v in row.items() if k not in measured}
                                                     for row in golden.manifest["tensors"]])
                     for golden in (made[id], committed[id])]
        assert manifests[0] == manifests[1]
        for name, array in committed[id].given.items():
            assert (made[id].given[name] == array).all()
    assert (tmp_path / "tokenizer.jsonl").read_bytes() == (PACK / "tokenizer.jsonl").read_bytes()


def test_cases_are_those_of_the_committed_pack():
    """Whoever changes a case must make the pack again."""
    for golden in read_pack().values():
        given = CASES[golden.id].given()
        assert list(given) == list(golden.given)
        assert all((given[name] == golden.given[name]).all() for name in given), golden.id
        assert CASES[golden.id].config is None or CASES[golden.id].cfg.to_dict() == golden.config


def test_the_pack_is_small_and_says_what_everything_is():
    assert sum(file.stat().st_size for file in PACK.iterdir()) < 8e6
    for golden in read_pack().values():
        manifest = golden.manifest
        assert manifest["purpose"] and all(len(sentence) > 10 for sentence in manifest["flags"].values())
        assert [row["place"] for row in manifest["tensors"]] == list(range(len(manifest["tensors"])))
        for row in manifest["tensors"]:
            assert row["formula"], (golden.id, row["name"])
            array = golden.truth.get(row["name"], golden.given.get(row["name"]))
            assert row["shape"] == list(array.shape) and row["dtype"] == str(array.dtype)
            if "tolerance" in row:
                assert row["scale"] > 0 and 0 < row["tolerance"] < 0.01, (golden.id, row)


def test_what_goes_in_is_float32_and_far_from_initial_scale():
    for golden in read_pack().values():
        for name, array in golden.given.items():
            if array.dtype.kind == "f":
                assert (array == array.astype(np.float32)).all(), (golden.id, name)
            if name.endswith(".bias") and name.startswith("params."):
                assert (array != 0).all(), (golden.id, name)
            if name.endswith("LayerNorm.weight"):
                assert (array != 1).all(), (golden.id, name)


def test_the_json_files_are_as_the_schema_says():
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((PACK.parent / "schema.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    for file in PACK.glob("*.json"):
        validator.validate(json.loads(file.read_text(encoding="utf-8")))
    manifest = read_pack()["op.linear"].manifest
    for spoilt in (dict(format=1), dict(level="ops"), dict(catches={"linear: bias missing": ["acts.out"]}), dict(new=1),
                   dict(tensors=[dict(manifest["tensors"][0], name="x")])):
        assert not validator.is_valid(manifest | spoilt), spoilt


def test_what_a_pack_holds_cannot_be_written_to():
    golden = read_pack()["op.linear"]
    for array in (*golden.given.values(), *golden.truth.values()):
        with pytest.raises(ValueError, match="read-only"):
            array *= 0


def test_every_layer_has_tensors_of_the_same_names_and_shapes():
    truth = read_pack()["model.padding"].truth
    shapes = [{name.replace(f"layer.{i}", "#"): a.shape for name, a in truth.items() if f"layer.{i}." in name}
              for i in (0, 1)]
    assert shapes[0] == shapes[1] and len(shapes[0]) > 60


# Ten steps hand in no gradients. In a blank row the mask swallows what the scores are: a slope of 0, which neither the
# backward pass nor any framework knows of.
DIFFERENTIABLE = [id for id, case in CASES.items()
                  if case.has_gradients and id not in ("optimizer.ten_steps", "model.blank_row")]


@pytest.mark.parametrize("id", DIFFERENTIABLE)
def test_gradients_are_slopes_of_the_forward_pass(id, monkeypatch):
    """The loss, or the sum of out times dout, is differentiated along a direction in all named arrays at once.

    Each number that a forward pass makes has an id on the tape. A tape that shifts numbers by their ids moves
    intermediates where they are, and one whose gradient is the ids themselves says which these are.
    """
    tapes = []

    class Shifted(Tape):
        along, h = np.zeros(0), 0.0

        def __init__(self):
            super().__init__()
            tapes.append(self)

        def new(self, value):
            start, value = self.size, np.array(value, np.float64)
            shift = self.along[start:start + value.size]
            return super().new(value + self.h * shift.reshape(value.shape) if shift.size else value)

        def backward(self, y, dy):
            self.loss = float((y.value * dy).sum())
            return np.arange(self.size)

    for module in (trace, cases):
        monkeypatch.setattr(module, "Tape", Shifted)
    golden, rng = read_pack()[id], np.random.default_rng(0)
    ids = {name: a for name, a in CASES[id].run(golden.given, BY_TAPE).items() if name in golden.truth}
    along, slope, names = np.zeros(tapes[0].size), 0.0, []
    for name, dx in golden.truth.items():
        if is_gradient(name):
            names.append(name)
            v = rng.normal(size=dx.shape) / golden.tensors[name]["scale"]
            if name.endswith("word_embeddings.weight") or id == "op.embedding":
                v[0] = 0                                     # the row of padding has no gradient of the lookup
            if id == "op.activation.relu":
                v[golden.given["in.x"] == 0] = 0             # a kink
            np.add.at(along, ids[name], v)
            slope += (dx * v).sum()
    along[0] = 0
    losses = []
    for h in (1e-6, -1e-6):
        monkeypatch.setattr(Shifted, "along", along)
        monkeypatch.setattr(Shifted, "h", h)
        CASES[id].run(golden.given, BY_TAPE)
        losses.append(tapes[-1].loss)
    assert abs((losses[0] - losses[1]) / 2e-6 - slope) < 1e-5 * len(names), (slope, losses)


@pytest.mark.parametrize("id", [id for id, case in CASES.items() if case.has_gradients])
def test_the_tape_finds_the_gradients_of_the_pack(id):
    golden = read_pack()[id]
    found = CASES[id].run(golden.given, BY_TAPE)
    for name, wanted in golden.truth.items():
        np.testing.assert_allclose(found[name], wanted, rtol=0, atol=1e-10 * max(1, np.abs(wanted).max(initial=0)))


def test_gradients_that_symmetry_makes_zero_are_marked():
    tensors = read_pack()["model.padding"].tensors
    marked = [name for name, row in tensors.items() if row.get("zero_by_symmetry")]
    assert marked == [f"grads.encoder.layer.{i}.attention.self.key.bias" for i in (1, 0)]


def test_a_damaged_pack_is_refused(tmp_path):
    make(tmp_path, ["op.linear"])
    assert check({}, pack=tmp_path).cases[0].id == "op.linear"
    copy = tmp_path / "copy"
    for name, spoil, message in (
            ("op.linear.safetensors", lambda data: data[:-1] + b"\1", "safetensors differs from its checksum"),
            ("op.linear.json", lambda data: data.replace(b"y = x W", b"y = x w"), "op.linear.json differs from"),
            ("op.linear.json", lambda data: None, "op.linear.json is missing"),
            ("pack.json", lambda data: b"{", "pack.json is damaged"),
            ("pack.json", lambda data: data.replace(b'"format": 2', b'"format": 9'), "of format 2, but is of 9"),
            ("pack.json", lambda data: None, "must have a pack.json")):
        read_pack.cache_clear()
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for file in tmp_path.glob("*.*"):
            data = spoil(file.read_bytes()) if file.name == name else file.read_bytes()
            if data is not None:
                (copy / file.name).write_bytes(data)
        with pytest.raises(ValueError, match=message):
            check({}, pack=copy)


@pytest.mark.parametrize("name, change, message", [
    ("pack.json", lambda index: index | dict(sha256={}), "must have a checksum of every file, but has none of op.line"),
    ("pack.json", lambda index: index | dict(sha256=[]), "must have a checksum of every file"),
    ("pack.json", lambda index: index | dict(sha256=dict.fromkeys(index["sha256"])), "must have a checksum of every"),
    ("pack.json", lambda index: index | dict(sha256=3), "pack.json is damaged"),
    ("pack.json", lambda index: index | dict(cases=[]), "must list cases, but lists none"),
    ("pack.json", lambda index: index | dict(cases=[{}]), "pack.json is damaged"),
    ("pack.json", lambda index: index | dict(cases=[dict(id="../outside")]), "must be in that folder, but one is '../o"),
    ("pack.json", lambda index: index | dict(cases=[dict(id=3)]), "must have a checksum of every file"),
    ("pack.json", lambda index: index | dict(sha256={"/etc/passwd": ""}), "must be in that folder, but one is '/etc/pa"),
    *(("op.linear.json", lambda case, name=name: {k: v for k, v in case.items() if k != name}, f"must have {name} wh")
      for name in ("id", "level", "purpose", "config", "catches", "same_as", "tensors")),
    *(("op.linear.json", lambda case, name=name: case | dict(tensors=[
        {k: v for k, v in row.items() if k != name} for row in case["tensors"]]), f"must have {name} wh")
      for name in ("name", "role", "shape", "dtype", "formula", "scale", "noise", "tolerance")),
    ("op.linear.json", lambda case: case | dict(tensors=[3]), "must have name where"),
    ("op.linear.json", lambda case: [], "must have id where"),
    ("op.linear.json", lambda case: case | dict(tensors=[case["tensors"][0] | dict(name="in.y")]), "lists 'in.y' as"),
    ("op.linear.json", lambda case: case | dict(tensors=[case["tensors"][0] | dict(role="judge")]), "as 'judge'"),
])
def test_a_pack_of_another_hand(tmp_path, name, change, message):
    """A pack whose checksums are right or left out, but whose contents are not right."""
    make(tmp_path, ["op.linear"])
    file, index = tmp_path / name, json.loads((tmp_path / "pack.json").read_text())
    file.write_text(json.dumps(change(json.loads(file.read_text()))))
    if name != "pack.json":
        index["sha256"][name] = hashlib.sha256(file.read_bytes()).hexdigest()
        (tmp_path / "pack.json").write_text(json.dumps(index))
    read_pack.cache_clear()
    with pytest.raises(ValueError, match=message):
        read_pack(tmp_path)


def test_ports_that_are_large_in_words_alone(tmp_path):
    with zipfile.ZipFile(tmp_path / "op.linear.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("acts.out.npy", "w") as member:
            np.lib.format.write_array_header_1_0(member, dict(descr="<f8", fortran_order=False, shape=(40_000_000,)))
            for _ in range(320):
                member.write(bytes(1_000_000))
    assert (tmp_path / "op.linear.npz").stat().st_size < 2_000_000
    (tmp_path / "op.linear").mkdir()
    with open(tmp_path / "op.linear" / "acts.out.npy", "wb") as file:
        np.lib.format.write_array_header_2_0(file, dict(descr="<f8", fortran_order=False, shape=(1 << 40,)))
    tracemalloc.start()
    report = check(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert not report.ok and peak < 200_000_000
    said = " ".join(report.notes)
    assert "unpacked it would take 320," in said and "takes 8,796,093,022,208 bytes, but the file has 0" in said


@pytest.mark.parametrize("port", [{1: 2}, {"op.linear": {1: 2}}, {None: {"acts.out": 1}}, lambda golden: {1: 2}])
def test_names_that_are_no_texts(port):
    with pytest.raises(TypeError, match="the name of a tensor or of a case must be a text, but one is"):
        check(port, case=["op.linear"])



# Right ports

def worst(report):
    return max(row.error for case in report.cases for row in case.compared)


def test_float32_passes():
    report = check(float32_port)
    assert report.ok and not report.mistakes and worst(report) < 0.35, report
    assert len([case for case in report.cases if case.compared]) == len(CASES)


def test_float32_that_sums_in_another_order_passes(monkeypatch):
    shuffled = lambda size: f"np.random.default_rng(7).permutation({size})"
    order = [
        ("ops.linear", "x.reshape(-1, I) @ weight.T",
         f"x.reshape(-1, I)[:, {shuffled('I')}] @ weight.T[{shuffled('I')}]"),
        ("ops.linear_backward", "(dy_rows @ weight)", f"(dy_rows[:, {shuffled('O')}] @ weight[{shuffled('O')}])"),
        ("ops.linear_backward", "dy_rows.T @ x_rows", "dy_rows[::-1].T @ x_rows[::-1]"),
        ("ops.grouped_linear", ".swapaxes(0, 1), weight, ", ".swapaxes(0, 1)[..., ::-1], weight[:, ::-1], "),
        ("ops.row_sum", 'np.einsum("...n->...", x)[..., None]', "x[..., ::-1].cumsum(-1)[..., -1:]"),
        ("conv.depthwise_conv", "for j in range(K)", "for j in reversed(range(K))"),
        ("conv.dynamic_conv", "for j in range(K)", "for j in (*range(1, K, 2), *range(0, K, 2))"),
        ("conv.dynamic_conv_backward", "for j in range(K)", "for j in reversed(range(K))"),
        ("attention.self_attention", "q @ k.swapaxes(2, 3)", "(q[..., ::-1] @ k[..., ::-1].swapaxes(2, 3))"),
        ("attention.self_attention_backward", "dscores @ k", "dscores[..., ::-1] @ k[:, :, ::-1]")]
    monkeypatch.setitem(MISTAKES, "another order", order)
    report = check(lambda golden: rerun(golden.id, as_float(golden.given, np.float32), ("another order",)))
    assert report.ok and worst(report) < 0.35, report
    golden = read_pack()["model.padding"]
    found = rerun(golden.id, as_float(golden.given, np.float32), ("another order",))
    plain = float32_port(golden)
    assert any((found[name] != plain[name]).any() for name in golden.truth)


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_the_port_in_c_passes(tmp_path):
    program, out = tmp_path / "convbert", tmp_path / "out"
    subprocess.run(["cc", "-O2", "-Wall", "-Werror", "-o", program, HERE / "ports" / "convbert.c", "-lm"], check=True)
    out.mkdir()
    done = [id for id in CASES if id.startswith(("op.", "model.")) and subprocess.run(
        [program, PACK / id, out / f"{id}.safetensors"], capture_output=True).returncode == 0]
    report = check(out)
    assert report.ok, report
    assert {case.id for case in report.cases if case.compared} == set(done)
    assert {id for id in CASES if id.startswith("model.")} < set(done) and "op.dynamic_conv.wide" in done
    # A porter's mistake in C: the taps run backwards.
    wrong = (HERE / "ports" / "convbert.c").read_text().replace("int s = t + j - K / 2;", "int s = t - j + K / 2;")
    (tmp_path / "wrong.c").write_text(wrong)
    subprocess.run(["cc", "-O2", "-o", program, tmp_path / "wrong.c", "-lm"], check=True)
    for id in ("op.depthwise_conv", "op.dynamic_conv", "model.padding"):
        subprocess.run([program, PACK / id, out / f"{id}.safetensors"], check=True)
    report = check(out, case=["op.depthwise_conv", "op.dynamic_conv", "model.padding"])
    assert set(report.mistakes) == {"depthwise convolution: taps reversed", "dynamic convolution: taps reversed"}


BUILD = {
    "convbert.mjs": lambda source, folder: ["node", source],
    "convbert.rs": lambda source, folder: [folder / "convbert"] if subprocess.run(
        ["rustc", "-O", "--edition", "2021", "-D", "warnings", "-o", folder / "convbert", source], check=True) else None}


@pytest.mark.parametrize("name, tool, right, wrong", [
    ("convbert.mjs", "node", "const s = t + j - (K - 1) / 2;", "const s = t - j + (K - 1) / 2;"),
    ("convbert.rs", "rustc", "let s = (token % l + j) as isize - (taps / 2) as isize;",
     "let s = (token % l + taps / 2) as isize - j as isize;")])
def test_the_ports_in_javascript_and_rust_pass(name, tool, right, wrong, tmp_path):
    if shutil.which(tool) is None:
        pytest.skip(f"there is no {tool}")
    source, out = HERE / "ports" / name, tmp_path / "out"
    subprocess.run([*BUILD[name](source, tmp_path), PACK, out], check=True)
    report = check(out)
    assert report.ok, report
    done = {case.id for case in report.cases if case.compared}
    assert {id for id in CASES if id.startswith("model.")} | {"block.layer", "op.self_attention"} < done
    # A porter's mistake: the taps run backwards.
    text = source.read_text(encoding="utf-8")
    assert text.count(right) == 1
    (tmp_path / name).write_text(text.replace(right, wrong), encoding="utf-8")
    subprocess.run([*BUILD[name](tmp_path / name, tmp_path), PACK, out], check=True)
    report = check(out, case=["op.depthwise_conv", "op.dynamic_conv"])
    assert set(report.mistakes) == {"depthwise convolution: taps reversed", "dynamic convolution: taps reversed"}


# Wrong ports

@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_a_change_of_the_reference_as_it_stands(mistake):
    with planted(mistake):
        pass


def table():
    """The rows of the committed table."""
    rows = [tuple(row[2:-2].split(" | ")) for row in TABLE.read_text(encoding="utf-8").splitlines() if row[:2] == "| "]
    return rows[1:]


@pytest.mark.parametrize("mistakes, kinds", [
    ([name for name in MISTAKES if name.startswith(("sequence head", "Adam", "tokenizer"))][::18] + [
        "masked words: hidden_act in place of gelu"], ["float64", "float32"]),   # the last, only in the light of others
    pytest.param(list(MISTAKES)[::9], list(KINDS), marks=pytest.mark.long)], ids=["few", "many"])
def test_mistakes_are_caught_and_named_as_the_table_says(mistakes, kinds):
    result = score(mistakes, kinds)
    assert result.ok, result
    assert set(result.rows()) <= {row[:2 + len(kinds)] for row in table()}


def test_the_table_has_every_mistake_caught_and_nine_in_ten_named():
    rows = table()
    assert [row[0] for row in rows] == list(MISTAKES) and len(rows) >= 60
    for verdicts in zip(*(row[2:] for row in rows)):
        made = [verdict for verdict in verdicts if verdict]             # autograd makes no mistake backward
        assert len(made) >= 180 and sum(verdict == "named" for verdict in made) >= 0.9 * len(made)
    assert "MISSED" not in str(rows) and "WRONGLY" not in str(rows)
    assert f"the {len(MISTAKES)} mistakes" in (PACK.parent / "README.md").read_text(encoding="utf-8")
    for golden in read_pack().values():
        simplest = {row[0] for row in rows if f"; {golden.id}: " in f"; {row[1]}"}
        assert simplest <= set(golden.manifest["catches"]), golden.id


def test_a_score_is_not_ok_if_a_mistake_is_missed_or_named_wrongly():
    line = lambda caught: Score({"float64": {"a": Line("a", caught)}})
    named, open_, wrong = ("y", "a", ["a"]), ("y", None, ["a", "b"]), ("y", "b", ["b"])
    assert line({"op.x": named}).ok and line({"op.x": open_, "op.y": named}).ok
    assert not line({}).ok and not line({"op.x": open_}).ok and not line({"op.x": named, "op.y": wrong}).ok
    assert "| a | op.x: y | a; or b |" in line({"op.x": open_}).markdown()
    assert "1 of 1 mistakes caught, 0 named, 1 named wrongly" in line({"op.x": wrong}).markdown()


def test_of_two_that_fit_a_right_case_rules_one_out():
    mistake, other, case = "masked words: hidden_act in place of gelu", "GELU: relu in its place", "heads.masked_lm"
    wrong = {case: mistaken_port(read_pack()[case], mistake)}
    alone = check(wrong)
    assert set(alone[case].diagnosis.mistakes) == {mistake, other} and not alone.mistakes
    report = check(wrong | {"op.activation.gelu": expected("op.activation.gelu")})
    assert list(report.mistakes) == [mistake]
    assert f"“{other}” also gives these numbers, but it would show in op.activation.gelu, which is right" in str(report)


def test_a_name_falls_if_a_case_speaks_against_it():
    """A port that is right elsewhere does not make this mistake, whatever reproduces its numbers."""
    mistake = "GELU: tanh in place of erf"
    wrong = {"block.layer": mistaken_port(read_pack()["block.layer"], mistake)}
    assert list(check(wrong).mistakes) == [mistake]
    report = check(wrong | {"op.activation.gelu": expected("op.activation.gelu")})
    assert not report.mistakes
    assert f"“{mistake}” also gives these numbers, but it would show in op.activation.gelu, which is right" in str(report)
    more = wrong | {"block.layer_groups": mistaken_port(read_pack()["block.layer_groups"], mistake)}
    assert list(check(more | {"op.activation.gelu": expected("op.activation.gelu")}).mistakes) == [mistake]
    otherwise = mistaken_port(read_pack()["op.activation.gelu"], "GELU: relu in its place")
    assert mistake not in check(wrong | {"op.activation.gelu": otherwise}).mistakes


def test_a_degenerate_case_names_nothing_alone():
    mistake = "V shared between branches"
    wrong = {id: mistaken_port(read_pack()[id], mistake) for id in ("model.one_token", "model.padding")}
    alone = check({"model.one_token": wrong["model.one_token"]})
    assert not alone.mistakes and "alone cannot name it" in str(alone)
    assert check(wrong).mistakes == {mistake: ["model.padding", "model.one_token"]}


@pytest.mark.parametrize("case, mistake, named", [
    ("model.activation", "LayerNorm: eps 1e-7",
     "LayerNorm: eps of the configuration ignored, at most 1e-4 in its place"),
    ("op.layer_norm.small_variance", "LayerNorm: eps 1e-5", "LayerNorm: eps 1e-5"),
    ("optimizer.adam", "Adam: eps 1e-5", "Adam: eps 1e-5"),
    ("optimizer.adam", "Adam: eps 0", "Adam: eps at most 1e-8")])
def test_where_numbers_do_not_fix_a_value_a_range_is_said(case, mistake, named):
    assert list(check({case: mistaken_port(read_pack()[case], mistake)}).mistakes) == [named]


@pytest.mark.parametrize("mistake", [
    "convolution kernel: softmax twice", "attention: softmax over the queries, not the keys", "residual missing",
    "dynamic convolution: circular padding, not zero"])
def test_gradients_that_follow_from_a_mistake_name_it(mistake):
    golden = read_pack()["block.layer"]
    port = mistaken_port(golden, mistake, BY_TAPE, "float64")
    by_hand = mistaken_port(golden, mistake, dtype="float64")
    assert any(np.abs(port[name] - by_hand[name]).max() > 1e-3 for name in port if is_gradient(name))
    report = check({"block.layer": port})
    assert list(report.mistakes) == [mistake] and report["block.layer"].diagnosis.gradients == BY_TAPE


@pytest.mark.parametrize("mistake", ["attention: mask not applied", "attention: 1 and 0 of the mask added to the scores",
                                     "attention: mask upside down, tokens hidden and padding seen"])
@pytest.mark.parametrize("hidden", [0.0, -np.inf, 7.0])
def test_hidden_scores_are_not_compared(mistake, hidden):
    """The scores are taken before the mask is added, so they are right whatever the mask does."""
    golden = read_pack()["block.layer"]
    scores = "acts.attention.self.attn.scores"
    right = golden.truth[scores].copy()
    right[np.broadcast_to(golden.given["in.attention_mask"][:, None, None] == 0, right.shape)] = hidden
    assert check({"block.layer": {scores: right}}).ok
    port = mistaken_port(golden, mistake, BY_TAPE, "float64") | {scores: right}
    report = check({"block.layer": port})
    assert list(report.mistakes) == [mistake] and report["block.layer"].first == "acts.attention.self.attn.weights"


def test_a_mask_of_minus_10000_is_named_in_float32():
    port = {id: mistaken_port(golden, mistake) for id, golden in read_pack().items() if id.startswith("model.")
            for mistake in MISTAKES if "-10000" in mistake}
    report = check(port)
    assert [case.id for case in report.cases if case.wrong] == ["model.blank_row"]
    assert list(report.mistakes) == [mistake for mistake in MISTAKES if "-10000" in mistake]


def test_the_table_of_a_wrong_port_fits_a_screen():
    port = {id: mistaken_port(golden, "residual missing") or golden.truth for id, golden in read_pack().items()}
    for arrays in port.values():
        arrays |= {f"dropout.{i}": np.zeros(1) for i in range(15)}
    report = check(port)
    lines = str(report).splitlines()
    assert len(lines) < 60 and sum("names that the case does not have" in line for line in lines) < 3
    assert lines[-2].startswith("named: residual missing") and len(report.table(verbose=True).splitlines()) > 1000


def test_the_first_to_depart_and_what_explains_it():
    golden = read_pack()["block.layer"]
    report = check({"block.layer": mistaken_port(golden, "V shared between branches")})["block.layer"]
    assert report.first == "acts.attention.self.conv.value"
    assert report.diagnosis.named == "V shared between branches"
    assert report.diagnosis.explained == report.diagnosis.departing == len(report.wrong)


def test_the_end_alone_is_enough():
    golden = read_pack()["model.padding"]
    port = mistaken_port(golden, "conv_kernel_layer: head and tap axes swapped")
    last = [name for name in port if name.startswith("acts.")][-1]
    report = check({"model.padding": {last: port[last]}})
    assert list(report.mistakes) == ["conv_kernel_layer: head and tap axes swapped"]


def test_two_mistakes_are_named_one_after_the_other():
    golden, both = read_pack()["block.layer"], ("depthwise convolution: taps reversed", "GELU: tanh in place of erf")
    found = rerun("block.layer", as_float(golden.given, np.float32), both)
    diagnosis = check({"block.layer": found})["block.layer"].diagnosis
    assert (diagnosis.named, diagnosis.then.named) == both


def test_a_mistake_that_explains_the_beginning_alone_is_not_named():
    real, near = "attention: mask applied after the softmax, weights not normed again", "attention: mask not applied"
    golden = read_pack()["block.layer"]
    port = mistaken_port(golden, real)
    assert list(check({"block.layer": port}).mistakes) == [real]
    del port["acts.attention.self.attn.weights"]
    diagnosis = diagnose_case(Evidence(golden, port), skip={real})
    assert near not in diagnosis.mistakes and not diagnosis.named


def test_what_no_mistake_explains_is_said():
    port = expected("op.linear")
    port["acts.out"] += np.random.default_rng(0).normal(size=port["acts.out"].shape)
    report = check({"op.linear": port})
    assert not report.ok and not report.mistakes
    assert "no mistake of the catalogue" in str(report)


def test_tokenizer_lines(tmp_path):
    rows = [json.loads(line) for line in (PACK / "tokenizer.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["text"] for row in rows] == TEXTS
    file = tmp_path / "tokenizer.jsonl"
    file.write_text("\n".join(json.dumps(dict(line=row["line"], input_ids=row["input_ids"])) for row in reversed(rows)))
    assert check(tmp_path).ok
    file.write_text(file.read_text(), encoding="utf-8-sig")
    assert check(tmp_path).ok
    for mistake in ("tokenizer: accents kept", "tokenizer: ideographs not spread"):
        wrong = mistaken_port(read_pack()["tokenizer.lines"], mistake)
        lines = [json.dumps(dict(text=text, input_ids=wrong[f"line{i:02}.input_ids"].tolist()), ensure_ascii=False)
                 for i, text in enumerate(TEXTS)]
        file.write_text("\n".join(lines), encoding="utf-8")
        assert list(check(tmp_path, level="tokenizer").mistakes) == [mistake]
    file.write_text("[1]\n")
    assert check(tmp_path).notes == ["tokenizer.jsonl: cannot be read: line 1 must be an object with input_ids"]
    file.write_text('{"input_ids": [1.5]}\n{"input_ids": [[1], [2, 3]]}\n{"input_ids": []}\n')
    found = [(row.status, row.note) for row in check(tmp_path)["tokenizer.lines"].compared]
    assert found == [("wrong dtype", "must be integers, but is float64"),
                     ("wrong dtype", "must be integers, but is object; its rows may be of different lengths"), ("departs", "must be (11,), but is (0,)")]


# What a port hands in

def test_names_and_layouts_of_others():
    golden = read_pack()["model.padding"]
    known = aliases(golden)
    name = "grads.encoder.layer.0.attention.self.key_conv_attn_layer.depthwise.weight"
    truth = golden.truth[name]
    theirs = next(n for n, (ours, layout) in known.items() if ours == name and layout and n.startswith("grads."))
    span = golden.truth["acts.encoder.layer.0.attention.self.conv.span_key"]
    query = "encoder.layer.0.attention.self.query"
    report = check({"model.padding": {
        theirs: truth[:, 0].T[..., None],
        "encoder.layer.0.attention.self.key_conv_attn_layer": span.swapaxes(1, 2),
        "encoder.layer.1.output": golden.truth["acts.encoder.layer.1.output.out"],
        f"{query}": golden.truth["acts.encoder.layer.0.attention.self.attn.query"].reshape(2, 7, -1),
        f"{query}.weight.grad": golden.truth[f"grads.{query}.weight"]}})
    case = report["model.padding"]
    assert report.ok and len(case.compared) == 5, report.table(verbose=True)


@pytest.mark.parametrize("id", ["model.padding", "model.project", "heads.masked_lm", "heads.single_label"])
@pytest.mark.parametrize("table", [keras_table, original_table])
def test_gradients_under_the_names_of_tensorflow(id, table):
    golden = read_pack()[id]
    net = {"net": "generator"} if table is original_table and id == "heads.masked_lm" else {}
    names = table(ConvBertConfig.from_dict(golden.config), **net)
    grads = {name: a for name, a in sub(golden.truth, "grads").items() if plain(name) in names}
    theirs = to_theirs(grads, names)
    if table is keras_table:
        theirs = {f"tf_conv_bert_model/{name}:0": a for name, a in theirs.items()}
    report = check({id: theirs})
    assert report.ok, report.table(verbose=True)
    assert len(report[id].compared) == len(grads) > 20
    assert not [row for row in report[id].rows if row.status == "extra"]


def test_what_is_missing_extra_misshapen_or_no_number_is_said_and_the_rest_checked(tmp_path):
    port = expected("op.linear")
    port["din.bias"][1] = np.nan
    del port["din.weight"]
    write_safetensors(tmp_path / "op.linear.safetensors", port | {"din.x": port["din.x"][:1], "what": np.ones(2)})
    np.savez(tmp_path / "op.softmax.npz", **expected("op.softmax") | {"acts.out": np.ones((2, 3, 3), int)})
    (tmp_path / "op.dropout").mkdir()
    np.save(tmp_path / "op.dropout" / "acts.out.npy", expected("op.dropout")["acts.out"])
    (tmp_path / "op.gone.safetensors").write_bytes(b"no")
    (tmp_path / "op.embedding.npz").write_bytes(b"PK no")
    (tmp_path / "op.embedding.npy").write_bytes(b"")
    report = check(tmp_path)
    status = {row.name: (row.status, row.note) for row in report["op.linear"].rows}
    assert status["acts.out"][0] == "ok" and status["din.weight"][0] == "missing" and status["what"][0] == "extra"
    assert status["din.x"] == ("wrong shape", "must be (2, 3, 5), but is (1, 3, 5)")
    assert status["din.bias"] == ("not finite", "nan or infinity in 1 of 4 places")
    softmax = {row.name: row for row in report["op.softmax"].rows}
    assert softmax["acts.out"].status == "wrong dtype" and softmax["din.x"].status == "ok"
    assert [row.status for row in report["op.dropout"].rows] == ["ok", "missing"]
    assert len(report.notes) == 3 and not report.ok
    assert ElementTree.fromstring(report.to_junit().encode()).get("failures") == "5"
    text = str(report)
    assert "din.bias" in text and "op.gone" in text


class Attached:
    """A tensor of PyTorch that requires a gradient."""

    def detach(self):
        return self

    def __array__(self, *args, **named):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")


def test_what_frameworks_hand_in_by_mistake_is_told_with_a_remedy():
    truth = expected("op.linear")["acts.out"]
    row, = check({"op.linear": {"acts.out": Attached()}})["op.linear"].compared
    assert (row.status, row.note) == ("wrong dtype", "must be floats, but is object; hand in .detach().float().numpy()")
    row, = check({"op.linear": {"acts.out": truth.astype(np.float16)}})["op.linear"].compared
    assert row.status == "departs" and row.note == "it is float16: did you mean --precision float16?"
    row, = check({"op.linear": {"acts.out": truth.astype(np.float32) + 1}})["op.linear"].compared
    assert row.status == "departs" and row.note == ""
    lines = expected("tokenizer.lines")
    name = next(name for name, ids in lines.items() if ids.size > 4)
    lines[name].flat[[0, -1]] += 1
    row = next(row for row in check({"tokenizer.lines": lines})["tokenizer.lines"].rows if row.name == name)
    assert (row.status, row.error, row.note) == ("departs", 2.0, f"2 of {lines[name].size} differ")
    assert check({"op.linear": {"acts.out": truth.astype(np.float16)}}, precision="float16").ok


def test_a_tensor_that_is_handed_in_twice_is_refused(tmp_path):
    arrays = expected("op.linear")
    write_safetensors(tmp_path / "op.linear.safetensors", arrays)
    np.savez(tmp_path / "op.linear.npz", **{"acts.out": arrays["acts.out"] + 1})
    report = check(tmp_path)
    assert report.notes == ["op.linear: 1 tensors are handed in twice, in op.linear.npz and in op.linear.safetensors;"
                            " keep one"]
    assert [row.name for row in report["op.linear"].compared] == ["din.x", "din.weight", "din.bias"]


def test_a_case_may_lie_deeper(tmp_path):
    folder = tmp_path / "mine" / "op.linear" / "acts"
    folder.mkdir(parents=True)
    np.save(folder / "out.npy", expected("op.linear")["acts.out"])
    report = check(tmp_path)
    assert report.ok and [row.name for row in report["op.linear"].compared] == ["acts.out"]


def test_junit_is_well_formed_and_counts_its_elements():
    port = {"op.linear": expected("op.linear") | {"acts.\x1b[31m": np.zeros(1)}, "op.softmax": expected("op.softmax")}
    port["op.linear"]["acts.out"][0] += 1
    for complete, failures in ((False, 1), (True, len(CASES) - 1)):
        suite = ElementTree.fromstring(check(port, complete=complete).to_junit().encode())
        assert int(suite.get("failures")) == len(suite.findall(".//failure")) == failures
        assert int(suite.get("skipped")) == len(suite.findall(".//skipped"))
        assert int(suite.get("tests")) == len(suite.findall("testcase")) == len(CASES)


def test_one_file_for_all_cases_and_one_for_one(tmp_path):
    all_in_one = {f"{id}/{name}": a for id in ("op.linear", "op.softmax") for name, a in expected(id).items()}
    write_safetensors(tmp_path / "all.safetensors", all_in_one)
    assert len([case for case in check(tmp_path / "all.safetensors").cases if case.compared]) == 2
    np.savez(tmp_path / "mine.npz", **expected("op.linear"))
    assert check(tmp_path / "mine.npz", case="op.linear").ok
    assert not check(tmp_path / "mine.npz").ok
    (tmp_path / "mine.txt").write_text("1 2 3")
    assert "a port hands in files whose names end in .safetensors" in str(check(tmp_path / "mine.txt"))


def test_levels():
    port = {"op.linear": expected("op.linear"), "block.layer": expected("block.layer")}
    assert {case.level for case in check(port, level="op").cases} == {"op"}
    backward = check(port, level="backward")
    assert all(row.name.startswith(("din", "dacts", "grads")) for case in backward.cases for row in case.rows)
    assert len(backward["block.layer"].compared) > 30
    for wrong in (dict(level="ops"), dict(case="op.lin"), dict(precision="float8")):
        with pytest.raises(ValueError, match="must be one of"):
            check(port, **wrong)
    with pytest.raises(ValueError, match=f"or {len(CASES) - 4} others, but is 'op.lin'"):
        check(port, case="op.lin")
    with pytest.raises(ValueError, match="does not exist"):
        check("no/such/folder")


def test_only_the_cases_that_are_named_may_fail():
    port = {id: {"acts.out": expected(id)["acts.out"] + 1} for id in ("op.linear", "op.softmax")}
    assert [case.id for case in check(port, expect_fail=["op.linear"]).failures] == ["op.softmax"]


def test_a_port_may_be_a_function_that_is_not_finished():
    def look_up():
        raise KeyError("oh")

    def port(golden):
        if golden.id == "op.linear":
            return {"acts.out": golden.given["in.x"] @ golden.given["in.weight"].T + golden.given["in.bias"]}
        if golden.id == "op.softmax":
            look_up()
        raise NotImplementedError
    report = check(port, level="op")
    assert len(report["op.linear"].compared) == 1
    assert len(report.notes) == 1 and "op.softmax: the port raised KeyError: 'oh'" in report.notes[0]
    line = look_up.__code__.co_firstlineno + 1
    assert f'test_golden.py, line {line}: raise KeyError("oh")' in report.notes[0]
    with pytest.raises(TypeError, match="must return a dict of arrays by name, but for op.linear it returned list"):
        check(lambda golden: [1, 2], case="op.linear")


def test_the_command(tmp_path, capsys):
    port = tmp_path / "port"
    port.mkdir()
    write_safetensors(port / "op.linear.safetensors", expected("op.linear"))
    assert main(["golden", "check", str(port)]) == 0
    assert "1 of 1 cases right" in capsys.readouterr().out
    assert main(["golden", "check", str(port), "--complete"]) == 1
    write_safetensors(port / "op.linear.safetensors", mistaken_port(read_pack()["op.linear"], "linear: bias missing"))
    reports = ["--json", str(tmp_path / "r.json"), "--junit", str(tmp_path / "r.xml")]
    assert main(["golden", "check", str(port), "--level", "op", *reports]) == 1
    assert "named: linear: bias missing" in capsys.readouterr().out
    found = json.loads((tmp_path / "r.json").read_text())
    assert not found["ok"] and found["named"] == {"linear: bias missing": ["op.linear"]}
    suite = ElementTree.parse(tmp_path / "r.xml").getroot()
    assert suite.get("failures") == "1" and "bias missing" in suite.find(".//failure").get("message")
    (tmp_path / "known.txt").write_text("op.linear  # its bias is to come\n")
    known = ["golden", "check", str(port), "--expect-fail", str(tmp_path / "known.txt")]
    assert main(known) == 0
    write_safetensors(port / "op.linear.safetensors", expected("op.linear"))
    assert main(known) == 1
    assert "remove it from the expected failures" in capsys.readouterr().out
    assert main(["golden", "check", str(tmp_path / "nowhere")]) == 2
    assert main(["golden", "check", str(port), "--case", "op.linear", "--verbose"]) == 0
    assert "din.weight" in capsys.readouterr().out


def test_what_could_not_be_read_is_not_ok(tmp_path):
    """All that was read is right; the one file that could not be read keeps the report from being ok."""
    write_safetensors(tmp_path / "op.linear.safetensors", expected("op.linear"))
    assert check(tmp_path).ok
    (tmp_path / "op.softmax.npz").write_bytes(b"PK no")
    report = check(tmp_path)
    assert not report.failures and len(report.notes) == 1 and not report.ok


def test_nothing_compared_is_not_ok(tmp_path):
    write_safetensors(tmp_path / "op.linear.safetensors", {"nothing.we.know": np.ones(3)})
    report = check(tmp_path)
    assert not report.failures and not report.ok


@pytest.mark.parametrize("shape", (
    (3, 2, 4), (2, 4, 3), (24,), (2, 12), (6, 4), (1, 2, 3, 4), (2, 3, 4, 1), (2, 3, 2, 2)))
def test_other_shapes_are_right_only_if_the_same_axes_are_taken_together(tmp_path, shape):
    truth = expected("op.linear")
    assert truth["acts.out"].shape == (2, 3, 4)
    report = check({"op.linear": {"acts.out": truth["acts.out"].reshape(shape)}})
    (row,) = [row for row in report["op.linear"].rows if row.name == "acts.out"]
    assert row.status == ("wrong shape" if len(shape) == 3 else "ok")


@pytest.mark.parametrize("precision, units", (
    ("float64", 2.0**-26), ("float32", 1), ("float16", 2.0**13), ("bfloat16", 2.0**16)))
def test_each_precision_has_its_own_tolerance(precision, units):
    """float16 has 13 bits less than float32, and bfloat16 has 16 less; float64 is compared far more strictly."""
    golden, truth = read_pack()["op.linear"], expected("op.linear")["acts.out"]
    allowed = golden.tensors["acts.out"]["scale"] * golden.tensors["acts.out"]["tolerance"] * units
    for share, ok in ((0.98, True), (1.02, False)):
        port = {"op.linear": {"acts.out": truth + share * allowed}}
        assert check(port, precision=precision).ok == ok
