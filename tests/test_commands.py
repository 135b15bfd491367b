"""Every console command is run once, from the first line of text to answers: each reads what another one wrote."""

import json
import shutil

import pytest
from finetune_material import write_data, write_model
from test_corpus import write_corpus

from minconvbert.__main__ import COMMANDS, main
from minconvbert.faces import pretrained
from minconvbert.golden.pack import HERE

SIZES = dict(hidden_size=16, embedding_size=8, num_hidden_layers=1, num_attention_heads=4, intermediate_size=32,
             max_position_embeddings=32, conv_kernel_size=3)
SMALL = ["--length", "16", "--batch-size", "4", "--steps", "2", "--generator-width", "0.5"]
TASK = "text-classification"

# command: arguments, in an order in which each finds its files; what it prints or leaves
RUNS = {
    "tour": ([], "The generator fills masks"),
    "info": (["tiny", "--json"], '"multiplications_per_token"'),
    "vocab": (["train", "text.txt", "--size", "130", "--out", "vocab.txt"], "vocab.txt"),
    "tokenize": (["abc", "--vocab", "vocab.txt"], "why"),
    "pretrain": (["--corpus", "text.txt", "--config", "config.json", "--vocab", "vocab.txt", "--out", "run", *SMALL],
                 "run/model/model.safetensors"),
    "fill-mask": (["a [MASK] b", "--model", "run/model", "--top", "2"], "%"),
    "detect": (["a b", "--model", "run/model"], "%"),
    "view": (["a b c", "--model", "run/model", "--out", "view.html"], "view.html"),
    "step": (["a b c", "--model", "run/model", "--out", "step.html"], "step.html"),
    "convert": (["run/model", "tf", "--task", "none", "--names", "original"], "tf/model.ckpt.index"),
    "verify": (["run/model", "--answers", "a/b"], "DIFFERS"),
    "study": (["--corpus", "text.txt", "--vocab", "vocab.txt", "--out", "study", "--steps", "1", "--batch-size", "2",
               "--hidden-size", "16", "--layers", "1", "--seeds", "1", "--kernels", "--groups"], "study/results.json"),
    "finetune": ([TASK, "--data", "texts.jsonl", "--model", "model", "--out", "tuned", "--epochs", "1"],
                 "tuned/model.safetensors"),
    "evaluate": ([TASK, "--data", "texts.jsonl", "--model", "tuned"], "accuracy"),
    "predict": ([TASK, "--text", "the cat", "--model", "tuned"], '"label"'),
    "golden": (["check", "port"], "1 of 1 cases right"),
    "course": (["list"], "span_dynamic_conv_backward"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("commands")
    write_corpus(folder / "text.txt", documents=105)
    (folder / "config.json").write_text(json.dumps(SIZES | dict(vocab_size=200)))
    write_model(folder / "model")
    write_data(folder, 8)
    (folder / "port").mkdir()
    shutil.copy(HERE / "op.linear.safetensors", folder / "port")       # the truth itself is a port without a fault
    return folder


def test_every_command_is_here():
    assert RUNS.keys() == COMMANDS.keys()


def test_the_commands_one_after_the_other(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setitem(pretrained.ANSWERS, "a/b", (("somebody", [1, 2, 3], [[9.0] * 3] * 3),))
    for name, (arguments, wanted) in RUNS.items():
        code = main([name, *arguments])
        said = "".join(capsys.readouterr())
        assert code == (1 if name == "verify" else 0), (name, said)
        assert wanted in said or (folder / wanted).is_file(), (name, said)
