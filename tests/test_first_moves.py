"""What a newcomer types first, in a notebook or after years of Hugging Face's classes, does what it promises."""

import ast
import copy
import json
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import random_inputs, random_params, small_config

import minconvbert
from minconvbert import checkpoint, course, golden
from minconvbert.electra import RowRandom, generator_config
from minconvbert.faces import (
    ConvBertForMaskedLM,
    ConvBertForMultipleChoice,
    ConvBertForPreTraining,
    ConvBertForQuestionAnswering,
    ConvBertForSequenceClassification,
    ConvBertForTokenClassification,
    ConvBertModel,
)
from minconvbert.faces.pretrained import detect, fill_mask
from minconvbert.files import default_model
from minconvbert.ops import softmax
from minconvbert.output import Arrays, ModelOutput, listing, summary
from minconvbert.training.progress import Progress

TEXT = "She opened the [MASK] and looked out."


@pytest.fixture(scope="module")
def pair():
    name = "convbert-tiny/generator"
    return ConvBertForMaskedLM.from_pretrained(name), minconvbert.ConvBertTokenizerFast.from_pretrained(name)


@pytest.fixture(scope="module")
def out(pair):
    model, tokenizer = pair
    batch = tokenizer([TEXT], return_tensors="np")
    return model(**batch, labels=batch["input_ids"])


# What is shown

class Tags(HTMLParser):
    """The text of the cells of a table, and whether every tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.cells = [], []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "td" in self.open:
            self.cells[-1] += data


def shown():
    name = "convbert-tiny"
    model, tokenizer = ConvBertModel.from_pretrained(name), minconvbert.ConvBertTokenizerFast.from_pretrained(name)
    out = model(tokenizer(["a little longer than one word"] * 40, return_tensors="np")["input_ids"])
    big = small_config(num_hidden_layers=30)
    yield from dict(
        output=out, acts=out.acts, params=model.params, grads=out.backward(out.last_hidden_state), face=model,
        config=model.config, deep=ConvBertModel(big), loaded=checkpoint.load(name)[1],
        pretraining=ConvBertForPreTraining(small_config(), generator_config(small_config())),
        report=golden.check(lambda case: {}), tokenizer=tokenizer, batch=tokenizer(["a b c"] * 500),
        arrays=tokenizer(["a b c"] * 500, return_tensors="np"), verdict=course.check(softmax),
        page=minconvbert.view.page(*minconvbert.view.look(model, tokenizer, "a b c"))).items()


@pytest.mark.parametrize("name, thing", list(shown()))
def test_nothing_shown_fills_the_screen(name, thing):
    for text in (repr(thing), str(thing)) if name != "report" else (repr(thing),):
        assert 0 < len(text.splitlines()) < 60 and len(text) < 8000 and " object at 0x" not in text
    if hasattr(thing, "_repr_html_") and name != "page":
        assert Tags(thing._repr_html_()).cells


def test_what_is_shown_of_an_output_is_so(out):
    lines = repr(out).splitlines()
    assert lines[0] == "ModelOutput" and [line.split()[0] for line in lines[1:]] == list(out)
    assert f"logits         float32 {out.logits.shape}" in repr(out)
    assert f"loss           float32 {out.loss:.6g}" in repr(out)
    assert f"hidden_states  3 x float32 {out.hidden_states[0].shape}" in repr(out)
    total, size = sum(x.size for x in out.acts.values()), sum(x.nbytes for x in out.acts.values())
    assert repr(out.acts).startswith(f"{len(out.acts)} arrays, {total:,} numbers, {size / 1e3:.3g} kB\n")
    cells = Tags(out._repr_html_()).cells
    for name, x in out.acts.items():
        assert cells[cells.index(name) + 1] == f"{x.dtype} {x.shape}"


@pytest.mark.parametrize("size, said", (
    (0, "0 numbers, 0 bytes"), (124, "124 numbers, 992 bytes"), (125, "125 numbers, 1 kB"),
    (124_999, "124,999 numbers, 1e+03 kB"), (125_000, "125,000 numbers, 1 MB"), (10 ** 8, "100,000,000 numbers, 800 MB"),
    (125 * 10 ** 6, "125,000,000 numbers, 1 GB"), (10 ** 10, "10,000,000,000 numbers, 80 GB")))
def test_sizes_have_their_units(size, said):
    assert summary(dict(x=np.broadcast_to(0.0, size), text="no array")) == f"1 arrays, {said}"


def test_a_listing_of_33_lines_is_whole_and_one_of_34_is_not():
    rows = [(f"name{i}", "text") for i in range(33)]
    assert len(listing("title", rows[:32]).splitlines()) == 33 and "more" not in listing("title", rows[:32])
    lines = listing("title", rows).splitlines()
    assert lines[24] == "  ... 2 more" and lines[25:] == [f"  name{i}  text" for i in range(25, 33)]
    assert lines[1:24] == [f"  name{i:<2}  text" for i in range(23)]


def test_the_middle_of_a_long_listing_is_counted(out):
    lines = repr(out.acts).splitlines()[1:]
    names, (rest,) = [line.split()[0] for line in lines], [line for line in lines if "more" in line]
    assert len(names) - 1 + int(rest.split()[1]) == len(out.acts)
    assert [name for name in names if name != "..."] == [name for name in out.acts if name in names]


def test_a_face_shows_its_parts_and_their_sizes(pair):
    model, _ = pair
    text = repr(model)
    total = sum(x.size for x in model.params.values())
    assert model.num_parameters() == total and f"ConvBertForMaskedLM: {total:,} parameters, float32" in text
    parts = [line.split()[:2] for line in text.splitlines()[1:]]
    assert sum(int(size.replace(",", "")) for _, size in parts) == total
    layer = sum(x.size for name, x in model.params.items() if ".layer.1." in name)
    assert f"2 x {layer:,}" in text


def test_a_configuration_shows_what_differs_and_can_be_read_back():
    cfg = minconvbert.ConvBertConfig.from_pretrained("convbert-tiny")
    assert eval(repr(cfg), dict(ConvBertConfig=minconvbert.ConvBertConfig)) == cfg
    assert "hidden_size=128" in repr(cfg) and "head_ratio" not in repr(cfg)


# What an output can do

def test_an_output_is_read_by_name_by_place_and_as_a_dict(out):
    assert out[0] is out.loss is out["loss"] and out[1] is out.logits and out[-1] is out.acts
    assert list(out.keys()) == ["loss", "logits", "hidden_states", "attentions", "kernels", "acts"] == list(dict(out))
    assert out.to_tuple() == out[:] and len(out) == 6 and "logits" in out and "end_logits" not in out
    assert out.get("end_logits", 3) == 3
    with pytest.raises(KeyError, match="this answer has loss, logits, .*, but no 'logit'"):
        out["logit"]
    loss, logits, *_ = out.to_tuple()
    assert loss is out.loss and logits is out.logits
    assert ConvBertModel(small_config())([[1, 2]])[0].shape == (1, 2, 24)


def test_acts_are_found_by_the_end_of_their_name(out):
    assert out.acts["encoder.layer.0.attention.self.conv.kernel"] is out.kernels[0]
    assert out.acts["head.dense"] is dict(out.acts)["head.dense"]
    with pytest.raises(KeyError, match="'conv.kernel' must be the end of one name, but 2 names end with it: convbert.encoder"):
        out.acts["conv.kernel"]
    with pytest.raises(KeyError, match="no array has the name 'loggits'; near it are logits"):
        out.acts["loggits"]


def test_the_switches_of_hugging_face(pair):
    model, tokenizer = pair
    batch = tokenizer([TEXT], return_tensors="np")
    out = model(**batch, output_attentions=True, output_hidden_states=True, return_dict=True)
    assert out.attentions and out.hidden_states
    without = model(**batch, output_attentions=False)
    assert without.attentions is None and "attentions" not in without and without.hidden_states and without.kernels
    assert model(**batch, output_hidden_states=False).hidden_states is None
    found = model(**batch, return_dict=False)
    assert isinstance(found, tuple) and (found[0] == out.logits).all()
    with pytest.raises(TypeError, match="takes rng, keep, threads, output_attentions, output_hidden_states, return_dict,"
                                        " but not output_attention$"):
        model(**batch, output_attention=True)


def test_habits_of_pytorch(pair):
    model, tokenizer = pair
    batch = tokenizer([TEXT], return_tensors="np")
    assert model.eval() is model.train() is model
    assert (model.forward(**batch).logits == model(**batch).logits).all()
    assert model.state_dict().keys() == model.params.keys()
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert (twin(**batch).logits == model(**batch).logits).all()
    out = pickle.loads(pickle.dumps(model(**batch, labels=batch["input_ids"])))
    assert isinstance(out, ModelOutput) and isinstance(out.acts, Arrays) and out.logits.shape[-1] == 8192
    with pytest.raises(ValueError, match="call the model with keep=True"):
        out.backward()


# What a name stands for

@pytest.mark.parametrize("name, folder", [("convbert-tiny", "."), ("convbert-tiny/generator", "generator"),
                                          (Path("convbert-tiny"), ".")])
def test_what_ships_has_a_name(name, folder):
    folder = default_model() / folder
    assert checkpoint.find(name) == folder / "model.safetensors"
    assert minconvbert.ConvBertConfig.from_pretrained(name) == minconvbert.ConvBertConfig.from_json(folder)
    for kind in (minconvbert.ConvBertTokenizer, minconvbert.ConvBertTokenizerFast):
        assert kind.from_pretrained(name).vocab == kind.from_pretrained(folder).vocab


def test_a_folder_of_the_same_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = small_config()
    ConvBertModel(cfg).save_pretrained("convbert-tiny")
    assert ConvBertModel.from_pretrained("convbert-tiny").config.hidden_size == cfg.hidden_size
    with pytest.raises(FileNotFoundError, match="there is no convbert-tiny/generator"):
        minconvbert.ConvBertConfig.from_pretrained("convbert-tiny/generator")


def test_fields_of_the_configuration_are_changed_on_the_way_in(caplog):
    model = ConvBertForSequenceClassification.from_pretrained("convbert-tiny", num_labels=3, hidden_dropout_prob=0.0)
    assert model([[2, 9, 3]]).logits.shape == (1, 3) and model.config.hidden_dropout_prob == 0
    assert "no head for sequence_classification: a new one is drawn from seed 0" in caplog.text
    same = ConvBertForSequenceClassification.from_pretrained(
        "convbert-tiny", num_labels=3, new_head=np.random.default_rng(0))
    assert all((same.params[name] == x).all() for name, x in model.params.items())
    with pytest.raises(checkpoint.NoHeadError, match="pass new_head="):
        ConvBertForSequenceClassification.from_pretrained("convbert-tiny")
    with pytest.raises(TypeError, match="options must be those of load or fields of the configuration, but new_hed is"):
        ConvBertModel.from_pretrained("convbert-tiny", new_hed=1)
    assert minconvbert.ConvBertConfig.from_pretrained("convbert-tiny", num_labels=5).num_labels == 5


def test_a_configuration_takes_a_whole_file():
    entries = json.loads((default_model() / "config.json").read_text())
    whole = minconvbert.ConvBertConfig(**entries)
    assert whole == minconvbert.ConvBertConfig.from_dict(entries) and whole.unknown["architectures"]
    named = minconvbert.ConvBertConfig(output_attentions=True, id2label={"0": "a", "1": "b", "2": "c"})
    assert named.id2label == {0: "a", 1: "b", 2: "c"} and named.unknown == dict(output_attentions=True)
    with pytest.raises(TypeError, match="no field 'hiden_size'; did you mean 'hidden_size'"):
        minconvbert.ConvBertConfig(hiden_size=3)
    with pytest.raises(TypeError, match="no field 'depth'"):
        whole.replace(depth=3)


def test_words_for_a_mask_and_words_replaced_without_a_folder():
    assert minconvbert.fill_mask is fill_mask and minconvbert.detect is detect
    assert fill_mask(TEXT) == fill_mask(TEXT, default_model()) == fill_mask(TEXT, "convbert-tiny/generator")
    pieces, probs = detect("They was very tired.")
    assert pieces == ["they", "was", "very", "tired", "."] and probs.shape == (5,)
    assert probs[:2].min() > 4 * probs[2:].max()


def test_the_head_beside_a_discriminator_is_found_and_converted(tmp_path):
    from minconvbert.__main__ import main
    assert main(["convert", str(tmp_path / "copy")]) == 0
    found, expected = detect("They was very tired.", tmp_path / "copy"), detect("They was very tired.")
    assert found[0] == expected[0] and (found[1] == expected[1]).all()
    with pytest.raises(checkpoint.NoHeadError):
        detect("They was very tired.", "convbert-tiny/generator")


def test_editors_see_the_names_that_python_sees():
    """The names under `if TYPE_CHECKING` are those that `__getattr__` finds."""
    tree = ast.parse(Path(minconvbert.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    told = {alias.name for node in block.body for alias in node.names}
    assert told == {*minconvbert.__all__, *minconvbert._ROOMS}
    for name in told:
        assert getattr(minconvbert, name) is not None and name in dir(minconvbert)


# Progress

@pytest.mark.parametrize("in_notebook, installed", [(True, True), (True, False), (False, True)])
def test_progress_is_a_bar_in_a_notebook_and_few_lines_in_a_log(monkeypatch, capsys, in_notebook, installed):
    bars = []

    class Bar(SimpleNamespace):
        def __init__(self, total, initial):
            super().__init__(total=total, n=initial, said=[], closed=False)
            bars.append(self)

        def set_postfix(self, figures):
            self.said.append((self.n, figures))

        def close(self):
            self.closed = True

    shell = SimpleNamespace(kernel=object()) if in_notebook else SimpleNamespace()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "tqdm.auto", SimpleNamespace(tqdm=Bar) if installed else None)
    progress = Progress(9, start=2)
    assert progress.every == (0.5 if in_notebook and installed else 10)
    for step in range(3, 10):
        progress(step, loss=step / 2)
    lines = capsys.readouterr().err.splitlines()
    if in_notebook and installed:
        (bar,) = bars
        assert not lines and bar.total == 9 and bar.closed and bar.said == [(3, {"loss": "1.5"}), (9, {"loss": "4.5"})]
    else:
        assert not bars and len(lines) == 2 and "3/9  loss 1.5" in lines[0] and "9/9  loss 4.5" in lines[1]


# Whose gradients are they?

FACES = {None: ConvBertModel, "masked_lm": ConvBertForMaskedLM, "multiple_choice": ConvBertForMultipleChoice,
         "question_answering": ConvBertForQuestionAnswering, "token_classification": ConvBertForTokenClassification,
         "sequence_classification": ConvBertForSequenceClassification}


def asked(task, seed, cfg):
    """-> inputs with labels of their own for each seed, and what `backward` is given"""
    rng = np.random.default_rng(seed)
    inputs = random_inputs(cfg, seed=seed)
    if task == "multiple_choice":
        return {name: x[None] for name, x in inputs.items()} | dict(labels=rng.integers(0, 3, 1)), []
    if task == "question_answering":
        return inputs | dict(start_positions=rng.integers(0, 9, 3), end_positions=rng.integers(0, 9, 3)), []
    labels = {None: {}, "sequence_classification": dict(labels=rng.integers(0, 2, 3)),
              "masked_lm": dict(labels=rng.integers(0, cfg.vocab_size, (3, 9))),
              "token_classification": dict(labels=rng.integers(0, 2, (3, 9)))}[task]
    return inputs | labels, [rng.normal(size=(3, 9, cfg.hidden_size))] if task is None else []


@pytest.mark.parametrize("task", FACES)
def test_an_output_goes_back_through_its_own_call(task):
    cfg = small_config()
    face = FACES[task](cfg, random_params(cfg, task))
    (first, up), (second, _) = asked(task, 1, cfg), asked(task, 2, cfg)
    out = face(**first)
    expected = face.backward(*up)
    assert out.backward(*up).keys() == expected.keys()
    face(**second)
    for found in (out.backward(*up), out.backward(*up, free=True)):
        assert all((found[name] == expected[name]).all() for name in expected)
    with pytest.raises(ValueError, match="backward needs a forward before it"):
        out.backward(*up)
    assert any((face.backward(*up)[name] != expected[name]).any() for name in expected)
    with pytest.raises(ValueError, match="call the model with keep=True"):
        face(**first, keep=False).backward(*up)


def test_pretraining_goes_back_through_its_own_call():
    cfg = small_config()
    face = ConvBertForPreTraining(cfg, generator_config(cfg))
    ids = random_inputs(cfg)["input_ids"]
    outs = [face(ids, rng=RowRandom(seed, 0, range(3)), special=dict(mask=1, cls=2, sep=3, pad=0)) for seed in (1, 2)]
    last = face.backward()
    assert all((outs[1].backward()[name] == last[name]).all() for name in last)
    assert any((outs[0].backward()[name] != last[name]).any() for name in last)


@pytest.mark.parametrize("call", [lambda face, out, up: face.backward(*up), lambda face, out, up: out.backward(*up)])
def test_eight_threads_on_one_face_get_their_own_gradients(call):
    cfg = small_config(num_hidden_layers=1)
    face = ConvBertModel(cfg, random_params(cfg))
    work = [asked(None, seed, cfg) for seed in range(8)]
    alone = []
    for inputs, up in work:
        face(**inputs)
        alone.append(face.backward(*up))
    together = threading.Barrier(8, timeout=20)        # one that fails must not leave the others waiting

    def turn(i):
        inputs, up = work[i]
        for _ in range(12):
            together.wait()
            out = face(**inputs)
            together.wait()                            # all forwards are done before the first backward begins
            found = call(face, out, up)
            assert found.keys() == alone[i].keys()
            assert all((found[name] == alone[i][name]).all() for name in found)
        return i

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(turn, range(8))) == list(range(8))


def test_a_thread_that_called_nothing_is_refused():
    cfg = small_config()
    face = ConvBertModel(cfg, random_params(cfg))
    out = face([[1, 2]])
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(out.backward, out.last_hidden_state).result().keys() == face.params.keys()
        with pytest.raises(ValueError, match="in the same thread"):
            pool.submit(face.backward, out.last_hidden_state).result()
