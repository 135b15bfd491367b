import ast
import inspect
import re
import textwrap
from pathlib import Path

from minconvbert import conv
from minconvbert.__main__ import COMMANDS

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_the_heart_is_the_live_source():
    shown = re.search(r"<!-- span_dynamic_conv -->\n```python\n(.*?)```", README, re.DOTALL).group(1)
    assert textwrap.indent(shown, "    ") in inspect.getsource(conv.span_dynamic_conv)


def test_every_command_is_listed():
    table = README.split("| command | |")[1].split("\n\n")[0]
    for name in COMMANDS:
        assert name == "tour" or re.search(rf"\b{name}\b", table), name


def test_the_python_of_the_readme_runs_and_gives_what_it_says(monkeypatch):
    """Every block but the heart, from the top of a clone; `expression   # (1, 2): words` says what a shape is."""
    monkeypatch.chdir(Path(__file__).parent.parent)
    blocks = re.findall(r"(?<!-->\n)```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    for block in blocks:
        scope = {}
        exec(compile(block, "README.md", "exec"), scope)
        for expression, told in re.findall(r"^(\S[^#=\n]*?) +# (\([\d, ]+\))", block, re.M):
            assert eval(expression, scope) == ast.literal_eval(told), expression


