"""What the scripts in benchmarks/ say, found another way on little models."""

import importlib
import json
import lzma
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minconvbert.config import ConvBertConfig
from minconvbert.electra import generator_config, part_params
from minconvbert.heads import task_model
from minconvbert.initialize import init_params
from minconvbert.inputs import model_inputs
from minconvbert.training import pretrain
from minconvbert.training.recipes import PRESETS

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import blimp  # noqa: E402
import in_turn  # noqa: E402

import weights  # noqa: E402

benchmark = importlib.import_module                    # of a name that another module has, too
SPECIAL = dict(mask=4, cls=2, sep=3, pad=0)
RECIPE = replace(PRESETS["tiny"], generator_layers=1.0)


@pytest.fixture(scope="module")
def made():
    """-> parameters of the size of trained ones, both configurations, float64"""
    cfg = ConvBertConfig(vocab_size=50, hidden_size=16, embedding_size=8, num_hidden_layers=2, num_attention_heads=4,
                         intermediate_size=32, max_position_embeddings=32, conv_kernel_size=3, pad_token_id=0)
    generator = generator_config(cfg, 0.5, 1.0)
    params = pretrain.fresh_state(cfg, generator, RECIPE, np.float64)["params"]
    rng = np.random.default_rng(0)
    return {name: x + rng.normal(0, 0.2, x.shape) for name, x in params.items()}, cfg, generator


def logits_of(part, ids, params, cfg):
    task = "masked_lm" if part == "generator" else part
    return task_model(task, model_inputs(cfg, ids), part_params(params, part), cfg)[0]


def sentences(count=30, seed=1):
    rng = np.random.default_rng(seed)
    return [[2, *rng.integers(5, 50, rng.integers(1, 9)).tolist(), 3] for _ in range(count)]


def test_scores_of_sentences_one_by_one(made, monkeypatch):
    params, cfg, generator = made
    texts = sentences()
    monkeypatch.setattr(blimp, "CHUNK", 7)
    scores = blimp.generator_scores(texts, params, generator, SPECIAL)
    told = blimp.discriminator_scores(texts, params, cfg, SPECIAL)
    shares = np.arange(1, 51) / 1275
    counted = blimp.frequency_scores(texts, shares)
    for i, ids in enumerate(texts):
        expected = 0.0
        for t in range(1, len(ids) - 1):
            hidden = np.array([[*ids[:t], 4, *ids[t + 1 :]]])
            words = logits_of("generator", hidden, params, generator)[0, t]
            expected += words[ids[t]] - np.log(np.exp(words).sum())
        assert scores[i] == pytest.approx(expected, rel=1e-9)
        logits = logits_of("discriminator", np.array([ids]), params, cfg)
        assert told[i] == pytest.approx(-np.log1p(np.exp(logits[0, 1:-1])).sum(), rel=1e-9)
        assert counted[i] == pytest.approx(np.log(np.prod([(i + 1) / 1275 for i in ids[1:-1]])), rel=1e-9)


def test_accuracy_is_the_mean_of_paradigms():
    """Two paradigms of one phenomenon and one of another; a tie is worth half."""
    pairs = [dict(phenomenon=a, paradigm=b) for a, b in (("x", "1"), ("x", "1"), ("x", "2"), ("y", "3"), ("y", "3"))]
    scores = np.array([1.0, 1, 1, 1, 1, 0, 2, 1, 0, 0])
    assert blimp.accuracies(pairs, scores) == dict(x=0.5, y=1.0, all=pytest.approx((0.5 + 0.5 + 1) / 3))


def test_pairs_are_read(tmp_path):
    rows = [dict(good=f"good {i}", bad=f"bad {i}", paradigm="ab"[i % 2], phenomenon="p") for i in range(6)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "plain.jsonl").write_text(text)
    with lzma.open(tmp_path / "packed.jsonl.xz", "wt") as file:
        file.write(text)
    for path in tmp_path.iterdir():
        assert [pair["good"] for pair in blimp.read_pairs(path, 2)] == ["good 0", "good 1", "good 2", "good 3"]
        assert len(blimp.read_pairs(path)) == 6
    for wrong in ('{"good": "only"}', "[1]", "none"):
        (tmp_path / "wrong.jsonl").write_text(text + wrong + "\n")
        with pytest.raises(ValueError, match="wrong.jsonl, line 7 must be a JSON object with good, bad"):
            blimp.read_pairs(tmp_path / "wrong.jsonl")


def test_the_whole_command(made, tmp_path, monkeypatch, capsys):
    """On the weights that ship: right against wrong forms that even they know."""
    rows = [dict(good=f"The {noun} {right} old.", bad=f"The {noun} {wrong} old.", paradigm=noun, phenomenon="agreement")
            for noun, right, wrong in (("men", "are", "is"), ("man", "is", "are"), ("children", "were", "was"))]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "text.txt").write_text("The old man is here. They are old.\n")
    monkeypatch.setattr(sys, "argv", ["blimp.py", "--pairs", str(tmp_path / "pairs.jsonl"), "--corpus",
                                      str(tmp_path / "text.txt"), "--work", str(tmp_path / "work")])
    blimp.main()
    heads, *lines = capsys.readouterr().out.splitlines()
    assert heads.split() == ["phenomenon", "generator", "discriminator", "fresh", "generator", "fresh", "discriminator",
                             "frequencies"]
    assert [line.split()[0] for line in lines] == ["agreement", "all"] and lines[-1].split()[1] == "100.0%"


def test_figures_agree_with_evaluate_and_halves_count(made):
    params, cfg, generator = made
    rows = np.random.default_rng(5).integers(5, 50, (40, 20)).astype(np.uint16)
    rows[:, 0], rows[:, -1] = 2, 3
    shares = np.full(50, 1 / 45)
    shares[:5] = 1e-12
    table = weights.figures(params, cfg, generator, rows, shares, SPECIAL, batch_size=16)
    expected = pretrain.evaluate(params, rows, SPECIAL, cfg, generator, RECIPE, batch_size=16)
    whole = table["whole"]
    assert {name: whole[name] for name in expected if name in whole} == pytest.approx(
        {name: expected[name] for name in expected if name in whole})
    assert whole["auc_own"] == expected["auc"] and len(whole) == 7
    assert len({row["auc_own"] for row in table.values()}) == len({row["masked_loss"] for row in table.values()}) == 3


def test_a_half_that_is_off_is_not_read(made):
    """With attention off, nothing that only attention reads changes the output; with the convolution off likewise."""
    params, cfg, _ = made
    ids, rng = np.array([[2, 9, 8, 7, 6, 3]]), np.random.default_rng(0)
    for part, part_cfg in (("discriminator", cfg), ("generator", made[2])):
        for variant, only in (("attention off", ".self.value."), ("convolution off", ".self.conv_")):
            off = weights.switched_off(params, variant)
            for before, same in ((off, True), (params, False)):
                after = {name: x + rng.normal(size=x.shape) * (only in name) for name, x in before.items()}
                logits, expected = (logits_of(part, ids, p, part_cfg) for p in (after, before))
                assert (logits == expected).all() == same


def test_words_that_fill_the_places():
    shares = np.array([0, 0, 0, 0, 0, 0.75, 0.25, 0])
    words = weights.fillings(np.full(4000, 7), shares, SPECIAL | dict(unk=1), np.random.default_rng(0))
    assert (words["own"] == 7).all()
    assert np.bincount(words["frequency"], minlength=8) / 4000 == pytest.approx(shares, abs=0.03)
    assert np.bincount(words["even"], minlength=8) / 4000 == pytest.approx([0] * 5 + [1 / 3] * 3, abs=0.03)


# Timings

def test_the_products_that_a_step_cannot_do_without():
    """Numbers of weights times rows, by hand: D = 16, E = 8, F = 32, A = 8, K = 3, V = 50, two layers in groups of two."""
    cfg = ConvBertConfig(vocab_size=50, hidden_size=16, embedding_size=8, num_hidden_layers=2, num_attention_heads=4,
                         intermediate_size=32, max_position_embeddings=32, conv_kernel_size=3, num_groups=2)
    params = init_params(cfg, "masked_lm", np.random.default_rng(0))
    layer = 5 * 16 * 8 + 8 * 2 * 3 + 16 * 16 + (16 * 32 + 32 * 16) // 2        # q k v, span key, value; kernel; out; F
    body, head = 8 * 16 + 2 * layer, 16 * 8 + 8 * 50
    cost = lambda maps: sum(weight.size * rows for weight, rows in maps)
    assert cost(in_turn.linear_maps(params, 7, 3)) == 7 * body + 3 * head
    assert cost(in_turn.linear_maps(params, 7)) == 7 * body
    classifier = init_params(cfg, "sequence_classification", np.random.default_rng(0))
    assert cost(in_turn.linear_maps(classifier, 7)) == 7 * body


def test_a_product_forward_and_two_backward():
    shapes = []

    class Noted(np.ndarray):
        def __array_ufunc__(self, ufunc, method, *inputs, **options):
            out = getattr(ufunc, method)(*(np.asarray(x) for x in inputs), **options)
            shapes.append((ufunc.__name__, out.shape))
            return out

    weight = np.ones((4, 3)).view(Noted)
    in_turn.products([(weight, 5)])()
    assert shapes == [("matmul", (5, 4))]
    in_turn.products([(weight, 5)], [(weight, 2)])()
    assert shapes[1:] == [("matmul", (5, 4)), ("matmul", (2, 3))]             # dW = dy^T x reads no weight


def test_lines_of_timings():
    medians = {"step": (0.1, 0.2), "least": (0.05, 0.16), in_turn.PEAK: (300.0, 400.0)}
    line = in_turn.compared("tiny", "step", medians, "least")
    assert line.split("minconvbert")[1].split() == [
        "100.0", "ms", "transformers", "200.0", "ms", "ratio", "0.50", "of", "own", "products", "2.00,", "1.25"]
    assert in_turn.compared("tiny", in_turn.PEAK, medians).split()[-6:] == [
        "MiB", "transformers", "400", "MiB", "ratio", "0.75"]
    assert in_turn.table_row("tiny", "step", medians["step"], medians["least"]) == (
        "| tiny | step | 100 ms | 200 ms | 0.50 | 2.00 (1.25) |")
    assert in_turn.table_row("tiny", in_turn.PEAK, medians[in_turn.PEAK], None) == (
        "| tiny | peak memory | 300 MiB | 400 MiB | 0.75 |  |")


def test_rounds_in_turn_and_their_medians_without_the_first_two(monkeypatch):
    seconds = {"ours": [90.0, 80, 1, 2, 6], "theirs": [70.0, 60, 4, 5, 50]}
    started, order = [], []

    def popen(command, **streams):
        started.append(command)
        side = command[-1]
        asked = {"step": iter(seconds[side]), in_turn.PEAK: iter([300.0 if side == "ours" else 400.0])}
        return SimpleNamespace(side=side, asked=asked, communicate=lambda: None)

    monkeypatch.setattr(in_turn.subprocess, "Popen", popen)
    monkeypatch.setattr(in_turn, "_ask", lambda worker, name: (order.append(worker.side), next(worker.asked[name]))[1])
    found = in_turn.in_turn("x.py", ["--size", 3], ["step", in_turn.PEAK], repeats=3)
    assert found == {"step": (2.0, 5.0), in_turn.PEAK: (300.0, 400.0)} and order == ["ours", "theirs"] * 6
    assert [command[1:] for command in started] == [["x.py", "--size", "3", "--side", side] for side in seconds]


def test_a_side_answers_with_seconds_and_mebibytes(monkeypatch, capsys):
    clock = iter([10.0, 12.5])
    monkeypatch.setattr(in_turn.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(sys, "stdin", ["step\n", f"{in_turn.PEAK}\n"])
    done = []
    in_turn.serve({"step": lambda: done.append(1)})
    took, peak = map(float, capsys.readouterr().out.split())
    assert took == 2.5 and done == [1] and 30 < peak < 30_000


def test_features_of_a_batch_are_of_nearly_one_length():
    made = benchmark("finetune").features_of("multiple-choice", ConvBertConfig(), 12, 20)
    assert [[len(row) for row in feature["input_ids"]] for feature in made] == [[20] * 4, [19] * 4, [18] * 4]


def test_the_table_of_all_timings(monkeypatch):
    """Speeds become a ratio of times, and times are those of a token."""
    pytest.importorskip("tokenizers")
    every = benchmark("all")
    monkeypatch.setattr(every.tokenizer, "paragraphs", lambda *_: ["é" * 500_000] * 2)                # 2 MB
    monkeypatch.setattr(every.tokenizer, "cases", lambda *_: {name: (name,) for name in ("a", "b", "c", "d", "e")})
    monkeypatch.setattr(every.tokenizer, "best", lambda repeats, name: [dict(a=0.5, b=2.0, c=1.0, d=8.0, e=9.0)[name]])
    assert [line.split("|")[2:6] for line in every.of_tokenizer("text", 1)] == [
        [" ids alone ", " 1.00 MB/s ", " 4.00 MB/s ", " 4.00 "], [" offsets and words ", " 0.25 MB/s ", " 2.00 MB/s ", " 8.00 "]]
    figures = []
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, *_, **__: figures.append(figure))
    slower = lambda batch, length: batch * length * (10 if batch == 32 else 1)
    monkeypatch.setattr(every.model, "measured", lambda size, *shape: {
        every.model.TRAINING: (3e-6 * slower(*shape[:2]), 2e-6 * slower(*shape[:2])),
        in_turn.PRODUCTS: (1e-6 * slower(*shape[:2]), 0)})
    every.picture("picture.png", 1)
    for axis, factors in zip(figures[0].axes, ([1], [1, 10])):
        assert {line.get_label(): sorted({round(y, 9) for y in line.get_ydata()}) for line in axis.lines} == {
            name: [y * factor for factor in factors] for name, y in (
                ("minconvbert", 3), ("transformers, eager", 2), ("products of minconvbert alone", 1))}
        lowest, highest = axis.get_ylim()
        assert lowest == 0 and highest > 30, "a point is cut off"


def test_the_best_of_the_repeats_is_the_least(monkeypatch):
    pytest.importorskip("tokenizers")
    module = benchmark("tokenizer")
    clock = iter([0, 5, 10, 13, 20, 24, 30, 39])
    monkeypatch.setattr(module.time, "process_time", lambda: next(clock))
    assert module.best(2, lambda: None, lambda made: None) == [4, 3]


# Results

def snips(folder, count=60):
    (folder / "slots_snips").mkdir()
    for intent, encoding in (("Play", "utf-8"), ("Eat", "latin-1")):
        data = [dict(data=[dict(text=f"é {intent} {i} "), dict(text="New York", entity="city")]) for i in range(count)]
        (folder / "slots_snips" / f"train_{intent}_full.json").write_text(
            json.dumps({intent: data}, ensure_ascii=False), encoding=encoding)


def test_a_tenth_is_held_out_by_its_hash_and_nothing_is_on_both_sides(tmp_path):
    results, train, dev = benchmark("results"), tmp_path / "train", tmp_path / "dev"
    held_out = lambda text: zlib.crc32(text.encode()) % 10 == 0
    snips(tmp_path)
    texts = [f"é {intent} {i} New York" for intent in ("Eat", "Play") for i in range(60)]
    results.queries(tmp_path, train, dev)
    for path, wanted in ((train, False), (dev, True)):
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        assert rows == [dict(text=text, label=text.split()[1]) for text in texts if held_out(text) == wanted]
    assert 4 < len(rows) < 24
    results.slots(tmp_path, train, dev)
    blocks = dev.read_text(encoding="utf-8").strip().split("\n\n")
    assert blocks == ["\n".join([*(f"{word} O" for word in text.split()[:3]), "New B-city", "York I-city"])
                      for text in texts if held_out(text)]
    (tmp_path / "ner_wikigold").mkdir()
    sentences = [f"Ann{i} I-PER\nran O" for i in range(40)]
    (tmp_path / "ner_wikigold" / "wikigold.conll.txt").write_text("\n\n".join(["-DOCSTART- O", *sentences]) + "\n")
    results.names(tmp_path, train, dev)
    for path, wanted in ((train, False), (dev, True)):
        assert path.read_text().strip().split("\n\n") == [one for one in sentences if held_out(one) == wanted]


def test_the_right_choice_stays_the_right_one(tmp_path):
    results, train, dev = benchmark("results"), tmp_path / "train", tmp_path / "dev"
    (tmp_path / "choice_next_sentence").mkdir()
    (tmp_path / "choice_comve").mkdir()
    for name in ("train", "dev"):
        results.lines(tmp_path / "choice_next_sentence" / f"fiction_{name}.jsonl", [
            dict(context=f"c{i}", choices=[f"{'right' if i % 4 == n else 'wrong'}{n}" for n in range(4)], label=i % 4)
            for i in range(8)])
        (tmp_path / "choice_comve" / f"{name}.csv").write_text(
            "Incorrect Statement,Right Reason1,Confusing Reason1,Confusing Reason2\n"
            + "".join(f"s{i},right,wrong,worse\n" for i in range(9)) + "s9,right,wrong, \n")
    results.follows(tmp_path, train, dev)
    pairs = [json.loads(line) for line in dev.read_text().splitlines()]
    assert [(pair["label"], pair["text_pair"][:5]) for pair in pairs] == [("yes", "right"), ("no", "wrong")] * 8
    assert [pair["text"] for pair in pairs[::2]] == [f"c{i}" for i in range(8)]
    results.reasons(tmp_path, train, dev)
    rows = [json.loads(line) for line in train.read_text().splitlines()]
    assert len(rows) == 9 and len({row["label"] for row in rows}) == 3
    assert all(row["choices"].index("right") == row["label"] == zlib.crc32(row["context"].encode()) % 3 for row in rows)


def test_a_row_of_results_has_means_and_sample_deviations(tmp_path, monkeypatch, capsys):
    results = benchmark("results")
    measured = {("queries", "pretrained"): [0.5, 0.7, 0.9], ("queries", "random"): [0.25], ("words", "pretrained"): [30.0]}

    def run(name, start, seed, folder, extra):
        return {results.SETS[name][3]: measured[name, start][seed]}, f"{name} {start} {seed} {extra}"

    monkeypatch.setattr(results, "run", run)
    for name in ("queries", "words"):
        monkeypatch.setitem(results.SETS, name, (lambda *_: None, *results.SETS[name][1:]))
    for options, row, command in (
            ("--sets queries --starts pretrained", "| 70.0 ± 20.0 | 97.6 (TF-IDF) |", "queries pretrained 2 ['--x', '1']"),
            ("--sets queries --starts random --seeds 0", "| 25.0 | 97.6 (TF-IDF) |", "queries random 0 ['--x', '1']"),
            ("--sets words --starts pretrained --seeds 0", "| 30.0 | - |", "words pretrained 0 ['--x', '1']")):
        monkeypatch.setattr(sys, "argv", ["results.py", "--data", "d", "--work", str(tmp_path), "--extra=--x 1", *options.split()])
        results.main()
        said = capsys.readouterr().out.splitlines()
        assert said[0].endswith(row) and said[-1] == command


def test_a_run_of_results_is_trained_and_measured_once(tmp_path, monkeypatch):
    results, commands = benchmark("results"), []

    def run(command, **options):
        commands.append(command[3:])
        return SimpleNamespace(stdout="accuracy                 0.9100\nmacro f1                 0.8700\n")

    monkeypatch.setattr(results.subprocess, "run", run)
    for _ in range(2):
        figures, command = results.run("queries", "random", 2, tmp_path, ["--threads", "2"])
        assert figures == dict(accuracy=0.91, macro_f1=0.87)
    trained, evaluated = commands
    assert command == "python -m minconvbert " + " ".join(trained) and trained[:4] == [
        "finetune", "text-classification", "--data", "queries-train.jsonl"]
    assert " ".join(trained).endswith("--out queries-random-2 --seed 2 --learning-rate 1e-3 --layer-decay 1 --dropout 0 --epochs"
                                      " 4 --learning-rate 5e-4 --random-init --threads 2")
    assert evaluated == ["evaluate", "text-classification", "--model", "queries-random-2", "--data", "queries-dev.jsonl"]
