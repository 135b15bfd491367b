"""Threads over parts of a batch: the same answers, one part after the other or side by side, and nothing left behind."""

import logging
import math
import sys
import threading
import time
import tracemalloc
import weakref
from dataclasses import replace

import numpy as np
import pytest
from finetune_material import SIZES, VOCABULARY, strong_params, tokenizer
from helpers import SMALL, assert_close, random_inputs, random_params, small_config
from test_electra import SPECIAL
from test_numbers import MODEL, rows_of_many_lengths

from minconvbert import attention, faces, model, threads
from minconvbert.config import ConvBertConfig
from minconvbert.electra import RowRandom, generator_config
from minconvbert.heads import HEADS
from minconvbert.threads import checked_threads, one_blas_thread, side_by_side, slices
from minconvbert.training import pretrain, tasks
from minconvbert.training.ranks import Ranks
from minconvbert.training.recipes import FinetuningRecipe, PretrainingRecipe
from minconvbert.training.tasks import batches

FACES = {cls.task: cls for cls in (
    faces.ConvBertModel, faces.ConvBertForMaskedLM, faces.ConvBertForSequenceClassification,
    faces.ConvBertForTokenClassification, faces.ConvBertForMultipleChoice, faces.ConvBertForQuestionAnswering)}
B, L = 5, 9


@pytest.fixture(autouse=True)
def fresh_memory_of_warnings():
    threads._say_once.cache_clear()


def model_of(task, **changes):
    labels = 2 if task == "question_answering" else 3
    cfg = small_config(num_labels=labels, problem_type="single_label_classification", summary_type="first", **changes)
    return FACES[task](cfg, random_params(cfg, task))


def call_of(task):
    """Inputs of every kind, and labels some of which do not count."""
    rng = np.random.default_rng(3)
    inputs = random_inputs(small_config(), B, L)
    labels = rng.integers(0, 3, (B, L))
    labels[rng.random((B, L)) < 0.4] = -100
    more = {"masked_lm": dict(labels=labels), "token_classification": dict(labels=labels),
            "sequence_classification": dict(labels=np.array([0, 1, 2, 1, 0])),
            "question_answering": dict(start_positions=np.array([1, 2, 3, 4, 0]),
                                       end_positions=np.array([2, 2, 8, 5, 20]))}
    if task == "multiple_choice":
        inputs = {name: np.stack([x, np.roll(x, 1, 0)], 1) for name, x in inputs.items()}
        return inputs | dict(labels=np.array([0, 1, 1, 0, 0]), cls_index=np.ones((B, 2), int))
    return inputs | more.get(task, {})


def check_answer(out, wanted):
    """All that a face answers, but for its acts."""
    for name in ("loss", "logits", "start_logits", "end_logits", "last_hidden_state"):
        if getattr(wanted, name) is not None:
            assert_close(getattr(out, name), getattr(wanted, name), 1e-13, name)
    for name in ("hidden_states", "attentions", "kernels"):
        for found, expected in zip(getattr(out, name), getattr(wanted, name), strict=True):
            assert_close(found, expected, 1e-13, name)


# What works side by side

def test_answers_come_in_order_and_from_other_threads():
    def slow_at_first(i):
        time.sleep(0.05 if i == 0 else 0)
        return i, threading.current_thread().name

    found = list(side_by_side(slow_at_first, range(5), 3))
    assert [i for i, _ in found] == [0, 1, 2, 3, 4] and all(name.startswith("minconvbert") for _, name in found)
    assert [*side_by_side(slow_at_first, range(3), 1)] == [(i, threading.main_thread().name) for i in range(3)]
    assert list(side_by_side(slow_at_first, [], 2)) == []


def test_as_many_at_once_as_threads():
    meeting, most = threading.Barrier(3, timeout=20), []

    def meet(i):
        most.append(meeting.wait())                    # nobody gets past it before three are here
        return i

    assert list(side_by_side(meet, range(6), 3)) == list(range(6)) and sorted(most) == [0, 0, 1, 1, 2, 2]


def test_the_error_of_a_part_is_raised_and_no_thread_is_left():
    before, ran = threading.active_count(), []

    def fail_at_one(i):
        ran.append(i)
        time.sleep(0.05)
        if i == 1:
            raise ValueError("the second part")
        return i

    with pytest.raises(ValueError, match="^the second part$"):
        list(side_by_side(fail_at_one, range(2), 2))
    assert threading.active_count() == before and sorted(ran) == [0, 1]


def test_no_more_answers_wait_than_there_are_threads():
    begun = []
    answers = side_by_side(lambda i: begun.append(i) or i, range(9), 2)
    for n in range(9):
        assert next(answers) == n and len(begun) <= n + 3
    assert next(answers, None) is None and sorted(begun) == list(range(9))


def test_a_part_that_stops_an_iteration_does_not_end_the_others_in_silence():
    with pytest.raises(RuntimeError):
        list(side_by_side(lambda i: next(iter(())), range(3), 1))


@pytest.mark.parametrize("recipe", (
    lambda **given: PretrainingRecipe({}, 0.01, **given), FinetuningRecipe))
def test_a_recipe_has_the_threads_that_its_batches_can_use(recipe):
    made = recipe(batch_size=3, threads=np.int64(8))
    assert made.threads == 3 and type(made.threads) is int
    with pytest.raises(ValueError, match="threads must be a whole number"):
        recipe(batch_size=3, threads=0)


def test_a_thread_keeps_how_numpy_treats_what_is_not_finite():
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        list(side_by_side(np.exp, [np.array([1e9]), np.array([1e9])], 2))


def test_slices_share_all_rows_and_none_is_empty():
    for rows in range(1, 12):
        for parts in range(1, 14):
            found = [range(rows)[some] for some in slices(rows, parts)]
            assert [row for part in found for row in part] == list(range(rows))
            sizes = {len(part) for part in found}
            assert len(found) == min(rows, parts) and min(sizes) >= 1 and max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("wrong", (0, -1, 1.5, "2", None, True))
def test_threads_must_be_a_number_of_at_least_one(wrong):
    for refuse in (lambda: checked_threads(wrong, 4), lambda: list(side_by_side(abs, range(3), wrong))):
        with pytest.raises(ValueError, match="threads must be a whole number of at least 1, but is"):
            refuse()


def test_more_threads_than_rows_are_lowered_and_that_is_said_once(caplog):
    with caplog.at_level(logging.WARNING):
        assert [checked_threads(n, 3) for n in (1, 3, 8, 8)] == [1, 3, 3, 3] and checked_threads(2, 1) == 1
    assert [record.message for record in caplog.records] == [
        "threads is 8, but only 3 rows can be shared: 3 are used",
        "threads is 2, but only 1 row can be shared: 1 are used"]


# BLAS

class Controller:
    """What threadpoolctl does, on a number of our own."""

    def __init__(self):
        self.threads = 4

    def limit(self, limits, user_api):
        assert user_api == "blas"
        before, self.threads = self.threads, limits
        return type("Limit", (), dict(restore_original_limits=lambda _: setattr(self, "threads", before)))()


def test_blas_has_its_threads_again_when_the_last_call_has_ended(monkeypatch):
    controller, seen = Controller(), []
    monkeypatch.setattr(threads, "_controller", lambda: controller)
    first, second = one_blas_thread(), one_blas_thread()
    for block, enter in ((first, True), (second, True), (first, False), (second, False)):
        block.__enter__() if enter else block.__exit__(None, None, None)
        seen.append(controller.threads)
    assert seen == [1, 1, 1, 4]
    with pytest.raises(ZeroDivisionError):
        list(side_by_side(lambda i: 1 / i, range(2), 2))
    assert controller.threads == 4
    assert list(side_by_side(lambda i: controller.threads, range(2), 2)) == [1, 1] and controller.threads == 4


def test_numpy_computes_on_one_core_in_the_block():
    threadpoolctl = pytest.importorskip("threadpoolctl")
    now = lambda: {lib["num_threads"] for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "blas"}
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before = now()
        with one_blas_thread():
            assert now() <= {1}
        assert now() == before


def test_without_threadpoolctl_the_environment_is_named_once(monkeypatch, caplog):
    monkeypatch.setattr(threads, "_controller", lambda: None)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    with caplog.at_level(logging.WARNING):
        list(side_by_side(abs, range(2), 2))
        assert not caplog.records
        monkeypatch.delenv("OPENBLAS_NUM_THREADS")
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        for _ in range(2):
            list(side_by_side(abs, range(2), 2))
    (record,) = caplog.records
    assert "minconvbert[threads]" in record.message and "OPENBLAS_NUM_THREADS=1" in record.message


def test_a_process_without_threadpoolctl_goes_on(monkeypatch):
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads._controller.cache_clear()
    try:
        assert list(side_by_side(abs, [-1, -2], 2)) == [1, 2]
    finally:
        threads._controller.cache_clear()


# A call of a face

@pytest.mark.parametrize("task", FACES)
def test_a_call_with_threads_is_the_call_without(task):
    model, call = model_of(task), call_of(task)
    upstream = () if task else (np.random.default_rng(5).normal(size=(B, L, SMALL["hidden_size"])),)
    alone = model(**call)
    wanted = model.backward(*upstream)
    for number in (2, 3):
        out = model(**call, threads=number)
        check_answer(out, alone)
        assert out.acts.keys() < alone.acts.keys()
        largest = max(np.abs(g).max() for g in wanted.values())
        for grads in (model.backward(*upstream), out.backward(*upstream, free=True)):
            assert grads.keys() == wanted.keys()
            for name, g in grads.items():
                assert g.shape == wanted[name].shape and np.abs(g - wanted[name]).max() < 1e-13 * largest, name
        with pytest.raises(ValueError, match="backward needs a forward before it"):
            out.backward(*upstream)


def test_embeddings_and_masks_of_four_axes_are_shared_too():
    model = model_of("sequence_classification")
    rng = np.random.default_rng(0)
    call = dict(inputs_embeds=rng.normal(size=(B, L, SMALL["embedding_size"])), labels=np.array([0, 1, 2, 1, 0]))
    for mask in (rng.normal(size=(1, 1, L, L)), rng.normal(size=(B, 2, 1, L))):
        alone, out = (model(**call, attention_mask=mask, threads=n) for n in (1, 3))
        assert_close(out.logits, alone.logits, 1e-13)
        wanted, found = alone.backward(), out.backward()
        assert_close(found["inputs_embeds"], wanted["inputs_embeds"], 1e-12)


def test_side_by_side_is_one_after_the_other_to_the_bit(monkeypatch):
    """Dropout included: each part has a generator of its own."""
    model, call = model_of("token_classification", hidden_dropout_prob=0.3), call_of("token_classification")
    answers = []
    for worker in (side_by_side, lambda function, parts, threads: map(function, parts)):
        monkeypatch.setattr(faces.hugging_face, "side_by_side", worker)
        out = model(**call, threads=3, rng=np.random.default_rng(1))
        answers.append((out.logits, out.backward()))
    (logits, grads), (same_logits, same_grads) = answers
    assert (logits == same_logits).all() and all((g == same_grads[name]).all() for name, g in grads.items())
    assert (logits != model(**call, threads=3).logits).any()
    rows = logits[:, 0]
    assert len(np.unique(rows.round(9), axis=0)) == B


def test_parts_do_not_repeat_the_dropout_of_others():
    model = model_of("sequence_classification", hidden_dropout_prob=0.4)
    ids = np.tile(np.arange(1, 7), (4, 1))
    out = model(ids, threads=4, rng=np.random.default_rng(0))
    assert len(np.unique(out.logits.round(9), axis=0)) == 4
    with pytest.raises(TypeError, match=r"rng must be a numpy.random.Generator"):
        model(ids, threads=2, rng=7)


def test_a_generator_that_is_restored_goes_on_with_the_dropout_that_comes_next():
    model, call = model_of("sequence_classification", hidden_dropout_prob=0.4), dict(input_ids=np.ones((4, 6), int))
    rng = np.random.default_rng(0)
    first = model(**call, threads=2, rng=rng).logits
    state = rng.bit_generator.state
    second = model(**call, threads=2, rng=rng).logits
    restored = np.random.default_rng(7)
    restored.bit_generator.state = state
    assert (model(**call, threads=2, rng=restored).logits == second).all() and (first != second).any()


def test_what_is_not_wanted_is_not_copied():
    model, call = model_of("masked_lm"), call_of("masked_lm")
    out = model(**call, threads=2, output_attentions=False, output_hidden_states=False)
    assert set(out.acts) == {"logits", *(name for name in out.acts if name.endswith("conv.kernel"))}
    assert out.attentions is None and out.hidden_states is None and len(out.kernels) == 2
    alone = model(**call)
    assert_close(out.backward()["generator_lm_head.bias"], alone.backward()["generator_lm_head.bias"], 1e-12)


@pytest.mark.parametrize("task", FACES)
def test_without_a_backward_parts_are_small_and_the_answer_is_the_same(task, monkeypatch):
    model, call = model_of(task), call_of(task)
    wanted, forward, rows = model(**call), model._forward, []

    def seen(inputs, *rest):
        rows.append(len(inputs["token_type_ids"]))
        return forward(inputs, *rest)

    monkeypatch.setattr(model, "_forward", seen)
    total = B * (2 if task == "multiple_choice" else 1)
    for tokens, parts in ((2 * L, math.ceil(total / 2)), (1, total), (100 * L, 2)):
        monkeypatch.setattr(faces.hugging_face, "TOKENS", tokens)
        out = model(**call, threads=2, keep=False)
        assert (len(rows), sum(rows)) == (parts, total) and rows.clear() is None
        assert out.acts.keys() < wanted.acts.keys() and ("logits" in out.acts) == (task is not None)
        check_answer(out, wanted)
        for kept in (dict(), dict(keep=False, rng=np.random.default_rng(0)), dict(keep=False, threads=1)):
            model(**call, **dict(threads=2) | kept)
            assert len(rows) == kept.get("threads", 2) and rows.clear() is None


def test_a_forward_in_parts_holds_few_logits_twice(monkeypatch):
    model = model_of("masked_lm", vocab_size=5000)
    monkeypatch.setattr(faces.hugging_face, "TOKENS", 2 * L)
    ids = np.ones((40, L), int)
    tracemalloc.start()
    logits = model(ids, keep=False, output_attentions=False, threads=2).logits
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.35 * logits.nbytes


@pytest.mark.parametrize("number", (1, 2))
def test_a_backward_that_frees_holds_no_second_array_as_wide_as_the_vocabulary(number, monkeypatch):
    model, call = model_of("masked_lm"), call_of("masked_lm")
    honest, alive = faces.hugging_face.task_model_backward, []

    def seen(task, dlogits, acts, *rest):
        alive.append([x() is not None for x in wide])
        return honest(task, dlogits, acts, *rest)

    monkeypatch.setattr(faces.hugging_face, "task_model_backward", seen)
    for free in (False, True):
        model(**call, threads=number)
        wide = [weakref.ref(x) for x in (model._last.run["scores"], model._last.run["loss_acts"]["probs"])]
        grads = model.backward(free=free)
        assert len(grads) == len(model.params)
    assert alive == [[True, True]] * number + [[False, False]] * number


def test_what_threads_a_face_refuses(caplog):
    model, ids = model_of("masked_lm"), np.ones((2, 4), int)
    with pytest.raises(ValueError, match="threads must be a whole number of at least 1, but is 0"):
        model(ids, threads=0)
    with caplog.at_level(logging.WARNING):
        assert (model(ids, threads=7).logits == model(ids, threads=2).logits).all()
    assert "only 2 rows can be shared" in caplog.text


def test_errors_in_a_part_are_those_of_the_whole(monkeypatch):
    model, before = model_of("masked_lm"), threading.active_count()
    monkeypatch.setattr(faces.hugging_face, "task_model", lambda *_: (_ for _ in ()).throw(MemoryError("Unable to allocate 9 GiB")))
    with pytest.raises(MemoryError, match="9 GiB"):
        model(np.ones((4, 5), int), threads=2)
    assert threading.active_count() == before


@pytest.mark.parametrize("dropout", (False, True))
def test_the_face_of_pretraining_gives_the_same_with_threads(dropout):
    cfg = small_config(hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.2)
    generator, special = generator_config(cfg), dict(mask=4, cls=2, sep=3, pad=0)
    face = faces.ConvBertForPreTraining(cfg, generator, dtype=np.float64)
    ids = np.random.default_rng(1).integers(5, cfg.vocab_size, (B, 12))
    mask = np.arange(12) < np.array([[12], [5], [9], [12], [7]])
    call = lambda number: face(
        ids, mask, rng=RowRandom(3, 1, range(B)), special=special, dropout=dropout, threads=number)
    alone = call(1)
    wanted = alone.backward()
    largest = max(np.abs(g).max() for g in wanted.values())
    for number in (2, 5):
        out = call(number)
        assert out.loss == pytest.approx(alone.loss, rel=1e-13)
        assert_close(out.logits, alone.logits, 1e-13)
        assert out.acts.keys() < alone.acts.keys() and {
            "sampled", "corrupted", "replaced", "generator.words", "discriminator_loss",
            "discriminator.convbert.encoder.layer.0.attention.self.conv.kernel"} < out.acts.keys()
        for name, x in out.acts.items():
            assert_close(np.asarray(x), np.asarray(alone.acts[name]), 1e-12, name)
        for grads in (out.backward(), face.backward()):
            assert grads.keys() == wanted.keys()
            assert all(np.abs(g - wanted[name]).max() < 1e-13 * largest for name, g in grads.items())


# Long sequences

@pytest.mark.parametrize("block", (1, 60, 200, 10**6))
@pytest.mark.parametrize("dtype", (np.float32, np.float64))
def test_attention_in_blocks_is_attention(block, dtype, monkeypatch):
    monkeypatch.setattr(attention, "BLOCK", block)
    rng = np.random.default_rng(0)
    query, key, value = (rng.normal(0, 2, (2, 11, 3, 4)).astype(dtype) for _ in range(3))
    for shape in ((1, 1, 1, 11), (2, 1, 1, 11), (2, 3, 11, 11), (1, 1, 11, 11)):
        bias = rng.normal(0, 2, shape).astype(dtype)
        wanted, _ = attention.self_attention(query, key, value, bias)
        found = attention.attention_in_blocks(query, key, value, bias)
        assert found.dtype == dtype
        assert_close(found, wanted, 1e-5 if dtype == np.float32 else 1e-14)


def test_blocks_are_as_large_as_they_may_be(monkeypatch):
    asked, honest = [], attention.self_attention

    def noted(query, *rest):
        asked.append(query.shape[1])
        return honest(query, *rest)

    monkeypatch.setattr(attention, "BLOCK", 2 * 3 * 11 * 4 + 5)                # four queries of all rows and heads
    monkeypatch.setattr(attention, "self_attention", noted)
    x = np.random.default_rng(0).normal(size=(2, 11, 3, 4))
    attention.attention_in_blocks(x, x, x, np.zeros((1, 1, 1, 11)))
    assert asked == [4, 4, 3]


@pytest.mark.parametrize("task", FACES)
def test_a_call_that_keeps_no_maps_is_the_same_call(task, monkeypatch):
    monkeypatch.setattr(attention, "BLOCK", 50)
    model, call = model_of(task), call_of(task)
    alone, out = model(**call), model(**call, keep=False, output_attentions=False, threads=2)
    for name in ("loss", "logits", "start_logits", "end_logits", "last_hidden_state"):
        if getattr(alone, name) is not None:
            assert_close(getattr(out, name), getattr(alone, name), 1e-13, name)
    assert out.attentions is None and not [name for name in out.acts if name.endswith("weights")]
    for found, expected in zip(out.hidden_states + out.kernels, alone.hidden_states + alone.kernels, strict=True):
        assert_close(found, expected, 1e-13)


def test_dropout_needs_whole_maps():
    """What is drawn for a map is drawn for all of it, so the same seed gives the same answer."""
    model, ids = model_of("sequence_classification", attention_probs_dropout_prob=0.5), np.ones((2, 4), int)
    whole, without = (model(ids, rng=np.random.default_rng(0), keep=maps, output_attentions=maps)
                      for maps in (True, False))
    assert (whole.logits == without.logits).all()


def test_memory_never_holds_a_whole_map(monkeypatch):
    monkeypatch.setattr(attention, "BLOCK", 2**16)
    cfg = small_config(max_position_embeddings=700)
    model, ids = faces.ConvBertModel(cfg, random_params(cfg, dtype=np.float32)), np.ones((1, 700), int)
    peaks = []
    for maps in (True, False):
        tracemalloc.start()
        model(ids, keep=False, output_attentions=maps)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    one_map = 2 * 700 * 700 * 4
    assert peaks[0] > 2 * one_map and peaks[1] < peaks[0] - one_map


def test_every_head_has_a_face_here():
    assert FACES.keys() - {None} == HEADS.keys() - {"discriminator"}
    assert generator_config(small_config(), 0.5).hidden_size == 12


# Reading and measuring

@pytest.fixture
def threads_seen(monkeypatch):
    """The names of all threads in which a model ran."""
    seen, honest = set(), model.encoder

    def encoder(*args):
        seen.add(threading.current_thread().name)
        return honest(*args)

    monkeypatch.setattr(model, "encoder", encoder)
    return seen


@pytest.mark.parametrize("head", ("token_classification", "multiple_choice"))
def test_reading_with_threads_gives_the_same_bits(head, threads_seen, monkeypatch):
    monkeypatch.setattr(batches, "TOKENS", 12)
    cfg, rng = small_config(num_labels=3, summary_type="first"), np.random.default_rng(0)
    rows = [[rng.integers(5, 40, n).tolist() for _ in range(2 if head == "multiple_choice" else 1)]
            for n in (3, 9, 4, 3, 5, 9, 8, 3)]
    features = [dict(input_ids=some, token_type_ids=[[0] * len(row) for row in some]) for some in rows]
    params = random_params(cfg, head)
    alone = batches.read_all(head, features, params, cfg)
    assert threads_seen == {threading.main_thread().name}
    shared = batches.read_all(head, features, params, cfg, threads=3)
    assert all((a == b).all() for a, b in zip(alone, shared, strict=True)) and len(threads_seen) > 1


def test_measuring_with_threads_gives_the_same_figures(threads_seen):
    rows = rows_of_many_lengths(20)
    for objective in ("replaced-token-detection", "masked-lm"):
        recipe = PretrainingRecipe(MODEL.to_dict(), 0.01, 6, generator_width=0.5, objective=objective)
        generator = generator_config(MODEL, 0.5)
        params = pretrain.fresh_state(MODEL, generator, recipe, np.float64)["params"]
        alone, shared = (pretrain.evaluate(params, rows, SPECIAL, MODEL, generator, replace(recipe, threads=n), 4)
                         for n in (1, 2))
        assert alone == shared
    assert len(threads_seen) > 1


def test_masked_words_are_measured_and_filled_alike(threads_seen):
    cfg = ConvBertConfig(**SIZES)
    task, params = tasks.get("masked-lm"), strong_params(cfg, "masked_lm")
    examples = [dict(where=str(n), text=" ".join(VOCABULARY[-5 - n:])) for n in range(6)]
    features = task.encode(examples, tokenizer(), cfg, 12)
    assert task.evaluate(examples, features, params, cfg, 2) == task.evaluate(examples, features, params, cfg, 2, 3)
    asked = [dict(where="here", text=f"the [MASK] {word}") for word in VOCABULARY[-4:]]
    given = (cfg, params, tokenizer())
    assert task.predict(asked, given) == task.predict(asked, given, threads=2) and len(threads_seen) > 1
    with pytest.raises(ValueError, match="^there: "):
        task.predict([*asked, dict(where="there", text="no mask")], given, threads=2)


def test_threads_of_processes_share_what_each_process_has(threads_seen):
    """Two ranks of three rows, each in two parts, are one step of six rows."""
    recipe = PretrainingRecipe(MODEL.to_dict(), 0.01, 6, generator_width=0.5, dropout=False)
    generator, rows = generator_config(MODEL, 0.5), rows_of_many_lengths(20)

    def stepped(number, meeting=None, rank=0, size=1):
        state = pretrain.fresh_state(MODEL, generator, recipe, np.float64)
        shared = Ranks(rank, size, meeting) if meeting else Ranks()
        figures = pretrain.train_step(state, rows, SPECIAL, MODEL, generator, replace(recipe, threads=number), shared)
        return state["params"], figures

    wanted, figures = stepped(1)
    barrier, box = threading.Barrier(2, timeout=60), [None, None]

    def add_up(rank):
        def together(array):
            box[rank] = array.copy()
            barrier.wait()
            array[...] = box[0] + box[1]
            barrier.wait()
        return together

    results = [None, None]

    def process(rank):
        results[rank] = stepped(2, add_up(rank), rank, 2)

    both = [threading.Thread(target=process, args=(rank,)) for rank in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    for params, found in results:
        assert found["loss"] == pytest.approx(figures["loss"], rel=1e-12) and found["tokens"] == figures["tokens"]
        for name, x in params.items():
            if not name.endswith("key.bias"):           # its gradient is rounding alone, which Adam makes large
                assert np.abs(x - wanted[name]).max() < 1e-9, name
