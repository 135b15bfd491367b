"""What the glossary of the notebooks says of Hugging Face's source is in it."""

import inspect
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("transformers")
from transformers.models.convbert import modeling_convbert  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[1]))
from test_notebooks import glossary  # noqa: E402


def test_variables_and_modules_exist():
    variables, modules = glossary(column=4)
    source = inspect.getsource(modeling_convbert.ConvBertSelfAttention.forward)
    for name in (name for cell in variables for name in re.findall(r"`(\w+)`", cell)):
        assert re.search(rf"\b{name}\b\s*=", source), name
    for name in (name for cell in modules for name in re.findall(r"`(\w+)`", cell)):
        assert hasattr(modeling_convbert, name)
