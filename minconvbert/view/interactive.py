"""The interactive page: one HTML file that contains everything, fetches nothing, and runs no script but its own."""

import base64
import hashlib
import html
import json
import re
from importlib import resources
from pathlib import Path
from string import Template

import numpy as np

from ..files import write_atomic
from . import palette
from .locality import mass_by_offset
from .selection import chosen, compared, is_special, seen


class Page:
    """A notebook shows it in a frame `height` pixels high; `html` is the text of the file, `save(path)` writes it."""

    def __init__(self, text, height=860, title="Kernels and attention"):
        self.html, self.height, self.title = text, height, title

    def save(self, path):
        """Write the page, whole or not at all."""
        write_atomic(Path(path), self.html)

    def __repr__(self):
        return f"Page of {len(self.html) / 1e3:.0f} kB: a notebook shows it, page.save(\"view.html\") writes it"

    def _repr_html_(self):
        # The frame may run scripts but has no origin: it can reach neither the notebook nor the network.
        return (f'<iframe srcdoc="{html.escape(self.html)}" sandbox="allow-scripts" title="{html.escape(self.title)}"'
                f' style="width: 100%; height: {self.height}px; border: 0"></iframe>')


def page(out, tokens, layer=None, head=None, token=None, row=0, second=None, word=None):
    """The interactive page of one sentence, with the arguments of `overview`.

    A reader points at a word, taps it or reaches it by keyboard, and sees what both kinds of heads take for it.
    """
    return titled_page(page_data(out, tokens, layer, head, token, row, second, word))


def titled_page(data, model="", notes=()):
    """The page of `page_data`, with the name of the model above the title and the notes below it."""
    title = f"What each word takes: {' '.join(data['sentences'][0]['tokens'])}"
    return Page(fill(__package__, "page", data | dict(model=model, notes=list(notes)), title))


def page_data(out, tokens, layer=None, head=None, token=None, row=0, second=None, word=None):
    """What the script of the page reads: the weights and measures of one or two sentences, and where to begin."""
    sentences = [seen(out, tokens, row)] + ([seen(*second)] if second else [])
    shared = []
    if second:
        shared, (place, other), layer, head = compared(*sentences, word, layer, head)
    layer, head, token = chosen(sentences[0], layer, head, place if second and token is None else token)
    layers, heads, _, taps = sentences[0].kernels.shape
    places = [token, other] if second else [token]
    return dict(layers=layers, heads=heads, taps=taps, layer=layer, head=head, token=places, shared=shared,
                sentences=[_packed(s) for s in sentences])


def _packed(shown):
    """A sentence for the page: weights as 16-bit fractions, measures as 32-bit floats, both in base64."""
    parts = dict(
        maps=_sixteen_bits(shown.maps), kernels=_sixteen_bits(shown.kernels),
        measures=np.stack(list(shown.measures().values()), axis=-1).astype("<f4"),
        profile=np.stack([mass_by_offset(maps[None])[1] for maps in shown.maps]).astype("<f4"))
    return dict(tokens=shown.tokens, special=[is_special(t) for t in shown.tokens]) | {
        name: base64.b64encode(np.ascontiguousarray(part).tobytes()).decode() for name, part in parts.items()}


def _sixteen_bits(weights):
    return np.rint(np.clip(weights, 0, 1) * 65535).astype("<u2")


def fill(package, name, data, title, guests=()):
    """The text of a page: NAME.html of a package, with NAME.css and NAME.js in it and the data for its script.

    guests: texts of other pages that this one shows in a frame. This page must allow their scripts and styles, too.
    """
    def read(file):
        return resources.files(package).joinpath(file).read_text("utf-8")

    base = resources.files(__package__)
    style = Template(base.joinpath("base.css").read_text("utf-8")).substitute(
        {name: "; ".join(f"--{key}: {value if isinstance(value, str) else ', '.join(value)}"
                         for key, value in colours.items())
         for name, colours in (("light", palette.LIGHT), ("dark", palette.DARK))}) + read(f"{name}.css")
    script = base.joinpath("base.js").read_text("utf-8") + read(f"{name}.js")
    allowed = [re.findall(f"{kind}-src (.*?)[;\"]", guest)[0] for kind in ("script", "style") for guest in guests]
    return Template(read(f"{name}.html")).substitute(
        title=html.escape(title), style=style, script=script, data=as_script_data(data),
        style_hash=" ".join([f"'{_hash(style)}'", *allowed[len(guests) :]]),
        script_hash=" ".join([f"'{_hash(script)}'", *allowed[: len(guests)]]))


def as_script_data(data):
    """JSON for a block of data in a page. No text in it can end the block, because <, > and & are escaped."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def _hash(text):
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
