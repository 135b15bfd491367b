"""Fine-tuning against PyTorch: the same 50 steps, the same logits from the same folder, the same counts as seqeval."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

sys.path.insert(0, str(Path(__file__).parent.parent))

from finetune_material import SIZES, strong_params, tokenizer, write_data, write_lines, write_model
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_finetuning import torch_model, torch_step

from minconvbert import checkpoint
from minconvbert.__main__ import main
from minconvbert.config import ConvBertConfig
from minconvbert.training import finetune, metrics, tasks
from minconvbert.training.finetune import fresh_state, train
from minconvbert.training.recipes import FinetuningRecipe
from minconvbert.training.tasks import batches

STEPS = 50


@pytest.mark.parametrize("name", [*tasks.TASKS, "several labels", "regression"])
def test_fifty_steps_follow_pytorch(tmp_path, name):
    data = write_data(tmp_path, count=75)
    if name in ("several labels", "regression"):
        rows = [json.loads(line) for line in open(data["text-classification"])]
        data[name] = write_lines(tmp_path / "other.jsonl", [
            dict(row, label=[row["label"], "x"][: i % 3] if name == "several labels" else len(row["text"]) / 20)
            for i, row in enumerate(rows)])
    task = tasks.get("text-classification" if name in ("several labels", "regression") else name)
    examples = task.read(data[name])
    cfg = task.configure(ConvBertConfig(**SIZES | dict(
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)), examples)
    params = strong_params(cfg, task.HEAD)
    theirs = torch_model(cfg, task.HEAD, params)
    features = task.encode(examples, tokenizer(), cfg, 24)
    recipe = FinetuningRecipe(epochs=6, batch_size=8, learning_rate=3e-3, clip=3.0 if name == "masked-lm" else 0.5)
    per_epoch, steps = finetune.steps_of(features, recipe)

    state, losses, norms = fresh_state(params), [], []
    for figures in train(task, state, features, cfg, recipe):
        losses.append(figures["loss"])
        norms.append(figures["norm"])
        if len(losses) == STEPS:
            break
    assert len(losses) == STEPS <= steps and min(norms) < recipe.clip < max(norms) and losses[-1] < losses[0]

    def feed():
        for step in range(STEPS):
            rng = np.random.default_rng([recipe.seed, finetune.ORDER, step // per_epoch])
            chosen = [features[i] for i in batches.by_length(features, recipe.batch_size, rng)[step % per_epoch]]
            stack = task.stack
            yield stack(chosen, cfg, (recipe.seed, step, range(len(chosen))))

    moments = {}
    expected = [torch_step(theirs, name, batch, moments, step, steps, cfg, recipe) for step, batch in enumerate(feed())]
    np.testing.assert_allclose(losses, expected, rtol=1e-9)
    for n, x in theirs.named_parameters():
        assert np.abs(state["params"][n] - x.detach().numpy()).max() < 1e-9, n


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder for each task, trained here from the command line."""
    folder = tmp_path_factory.mktemp("trained")
    data = write_data(folder)
    for name in tasks.TASKS:
        model = write_model(folder / f"start-{name}", "masked_lm" if name == "masked-lm" else None)
        assert main(["finetune", name, "--data", str(data[name]), "--model", str(model), "--out", str(folder / name),
                     "--epochs", "2", "--length", "24", "--learning-rate", "0.003"]) == 0
    return folder, data


def some_batch(task, data, folder):
    cfg, params = checkpoint.load(folder, task.HEAD, np.float64)
    features = task.encode(task.read(data), finetune.ConvBertTokenizerFast.from_pretrained(folder), cfg, 24)[:5]
    return cfg, params, batches.stack([{k: v for k, v in f.items() if k != "labels"} for f in features], cfg)["inputs"]


def logits_of(theirs, inputs, head):
    arrays = {k: torch.tensor(inputs[k]) for k in ("input_ids", "attention_mask", "token_type_ids")}
    if head == "multiple_choice":
        arrays = {k: x[None] for k, x in arrays.items()}
    with torch.no_grad():
        out = theirs.double().eval()(**arrays)
    if head == "question_answering":
        return torch.stack([out.start_logits, out.end_logits], -1).numpy()
    return out.logits.numpy()[0] if head == "multiple_choice" else out.logits.numpy()


@pytest.mark.parametrize("name", tasks.TASKS)
def test_a_folder_trained_here_answers_the_same_in_transformers(trained, name):
    folder, data = trained
    task = tasks.get(name)
    cfg, params, inputs = some_batch(task, data[name], folder / name)
    auto = {"sequence_classification": transformers.AutoModelForSequenceClassification,
            "token_classification": transformers.AutoModelForTokenClassification,
            "question_answering": transformers.AutoModelForQuestionAnswering,
            "multiple_choice": transformers.AutoModelForMultipleChoice, "masked_lm": transformers.AutoModelForMaskedLM}
    theirs, info = auto[task.HEAD].from_pretrained(folder / name, output_loading_info=True, attn_implementation="eager")
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert type(theirs).__name__ == checkpoint.ARCHITECTURES[task.HEAD]
    ours, _ = finetune.batches.task_model(task.HEAD, inputs, params, cfg)
    np.testing.assert_allclose(ours, logits_of(theirs, inputs, task.HEAD), rtol=0, atol=1e-12)
    if name in ("text-classification", "token-classification"):
        assert theirs.config.id2label == cfg.id2label
    words = transformers.AutoTokenizer.from_pretrained(folder / name)
    text = "The red cat, sings!"
    assert words(text)["input_ids"] == tokenizer()(text)["input_ids"]


@pytest.mark.parametrize("name", tasks.TASKS)
def test_a_folder_trained_by_transformers_answers_the_same_here(trained, tmp_path, capsys, name):
    folder, data = trained
    task = tasks.get(name)
    cfg, params, inputs = some_batch(task, data[name], folder / name)
    theirs = getattr(transformers, checkpoint.ARCHITECTURES[task.HEAD]).from_pretrained(folder / name)
    optimizer = torch.optim.AdamW(theirs.parameters(), 1e-2)
    for _ in range(3):                                  # towards any other weights
        loss = sum((x.float() ** 2).mean() for x in theirs(**{
            k: torch.tensor(v)[None] if name == "multiple-choice" else torch.tensor(v)
            for k, v in inputs.items() if k != "position_ids"}, return_dict=True).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    theirs.save_pretrained(tmp_path / "theirs")
    transformers.AutoTokenizer.from_pretrained(folder / name).save_pretrained(tmp_path / "theirs")

    cfg, params = checkpoint.load(tmp_path / "theirs", task.HEAD, np.float64)
    ours, _ = finetune.batches.task_model(task.HEAD, inputs, params, cfg)
    expected = logits_of(theirs, inputs, task.HEAD)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12)
    before, _ = checkpoint.load(folder / name, task.HEAD)
    assert before.summary_type == cfg.summary_type and before.id2label == cfg.id2label
    assert main(["evaluate", name, "--model", str(tmp_path / "theirs"), "--data", str(data[name])]) == 0
    assert main(["finetune", name, "--data", str(data[name]), "--model", str(tmp_path / "theirs"), "--out",
                 str(tmp_path / "again"), "--epochs", "1"]) == 0


TAGS = ["O", *(f"{prefix}-{kind}" for prefix in "BIES" for kind in ("PER", "LOC", "a-b"))]


@settings(deadline=None)
@given(st.lists(st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), min_size=1, max_size=9), min_size=1,
                max_size=5))
def test_entities_are_counted_as_seqeval_does(pairs):
    seqeval = pytest.importorskip("seqeval.metrics")
    wanted, found = ([[pair[i] for pair in sentence] for sentence in pairs] for i in range(2))
    ours = metrics.entity_scores(wanted, found)
    for name, score in (("f1", seqeval.f1_score), ("precision", seqeval.precision_score), ("recall", seqeval.recall_score)):
        assert ours[name] == pytest.approx(score(wanted, found, zero_division=0), abs=1e-12)
