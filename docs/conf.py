"""The documentation site: the pages, notebooks and docstrings of the repository, where they are.

    python -m pip install '.[docs]'
    python -m sphinx -W -c docs . site

Nothing is copied or generated before: a page of `docs/api` names the modules that it is about, each in a line that
begins with `:::`. Formulas become MathML, so that neither building nor reading needs a network. Notebooks are shown as
they are committed.
"""

import importlib
import re
import shutil
import sys
from pathlib import Path

from latex2mathml.converter import convert as to_mathml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import minconvbert  # noqa: E402

project = "minconvbert"
author = "The minconvbert authors"
copyright = f"2026 {author}"
version = release = minconvbert.__version__

root_doc = "README"
include_patterns = [
    "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "notebooks/README.md", "notebooks/*.ipynb",
    "minconvbert/golden/*.md", "weights/convbert-tiny/README.md", "docs/api/*.md"]
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
nitpicky = True                                        # a link to a module or function that is not there fails
nitpick_ignore_regex = [("py:class", ".*")]            # but annotations may name any class

nb_execution_mode = "off"
nb_ipywidgets_js = {}                                  # they would be fetched; no notebook has any
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]                    # a page may begin at any level of heading

autodoc_member_order = "bysource"                      # a backward stands below its forward
autodoc_default_options = {"members": True}
autodoc_preserve_defaults = True
default_role = "code"
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"minconvbert {version}"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_copy_source = False

CONTENTS = """

```{toctree}
:hidden:
:caption: Learn

notebooks/README
```

```{toctree}
:hidden:
:caption: Functions

docs/api/model
docs/api/faces
docs/api/checkpoint
docs/api/tokenizer
docs/api/training
docs/api/view
docs/api/step
docs/api/course
docs/api/golden
```

```{toctree}
:hidden:
:caption: More

minconvbert/golden/README
minconvbert/golden/SCORE
weights/convbert-tiny/README
CHANGELOG
CONTRIBUTING
```
"""
NOTEBOOKS = """

```{toctree}
:hidden:
:glob:

[0-9]*
```
"""


def arrange(app, name, source):
    """Put in what only the site has: tables of contents, functions for names of modules, and links to sources."""
    text = source[0] + {"README": CONTENTS, "notebooks/README": NOTEBOOKS}.get(name, "")
    text = re.sub(r"^::: (\S+)$", automodule, text, flags=re.MULTILINE)
    text = re.sub(r"\[`([^`]+)`\]\((?:\.\./)*(minconvbert/[\w/]+)\.py\)",
                  lambda m: f"{{py:mod}}`{m[1]} <{m[2].replace('/', '.')}>`", text)
    source[0] = re.sub(r"\[([^\]]+)\]\((?:\.\./)*(?:benchmarks|tests)[^)]*\)", r"\1", text)


def automodule(match):
    """A module with its functions; of a package only what it says of itself, because its names stand in its modules."""
    package = hasattr(importlib.import_module(match[1]), "__path__")
    return f"```{{eval-rst}}\n.. automodule:: {match[1]}\n{'   :no-members:' if package else ''}\n```"


def plain(app, what, name, thing, options, lines):
    """Docstrings are plain text: what is indented stays as it is, a run of spaces parts sentences from shapes."""
    paragraphs = []
    for paragraph in "\n".join(lines).strip("\n").split("\n\n"):
        if paragraph.startswith("    "):
            paragraphs += ["::", paragraph]
        else:
            paragraphs += map(escaped, re.split(r"\s{3,}", " ".join(map(str.rstrip, paragraph.split("\n")))))
    lines[:] = "\n\n".join(paragraphs).split("\n") + [""]


def escaped(text):
    parts = re.split(r"(`[^`]+`)", text.strip())
    return "".join(f"`{part}`" if i % 2 else re.sub(r"([\\*|_`])", r"\\\1", part) for i, part in enumerate(parts))


def inline_math(self, node):
    self.body.append(to_mathml(node.astext()))


def display_math(self, node):
    self.body.append(f'<div class="formula">{to_mathml(node.astext(), display="block")}</div>')


def skip(visit):
    def visited(self, node):
        from docutils.nodes import SkipNode
        visit(self, node)
        raise SkipNode
    return visited


def front_door(app, error):
    if error is None and app.builder.name == "html":
        shutil.copyfile(Path(app.outdir, "README.html"), Path(app.outdir, "index.html"))


def setup(app):
    app.add_html_math_renderer("mathml", (skip(inline_math), None), (skip(display_math), None))
    app.connect("source-read", arrange)
    app.connect("autodoc-process-docstring", plain)
    app.connect("build-finished", front_door)
