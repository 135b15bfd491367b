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
