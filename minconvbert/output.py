"""What a model returns. Dicts of arrays are shown by names, kinds and shapes, never by their numbers."""

import difflib
import html
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np

FIRST, LAST = 24, 8                                    # lines of a long listing that are shown


class Arrays(dict):
    """A dict of names to arrays that is shown as a table.

    The end of a name is enough if only one name ends with it: `acts["embeddings.out"]` finds
    `acts["convbert.embeddings.out"]`.

    Raises KeyError, listing the nearest names, if no name ends with it, or several do.
    """

    def __missing__(self, name):
        ends = [known for known in self if known.endswith(f".{name}")]
        if len(ends) == 1:
            return self[ends[0]]
        if ends:
            more = ", ..." if len(ends) > 4 else ""
            raise KeyError(f"{name!r} must be the end of one name, but {len(ends)} names end with it:"
                           f" {', '.join(ends[:4])}{more}")
        near = difflib.get_close_matches(str(name), self, 4, 0.5)
        hint = f"; near it are {', '.join(near)}" if near else ""
        raise KeyError(f"no array has the name {name!r}{hint}")

    def __repr__(self):
        return listing(summary(self), [(name, described(x)) for name, x in self.items()])

    def _repr_html_(self):
        return folded(summary(self), [(name, described(x)) for name, x in self.items()])


@dataclass(eq=False, repr=False)
class ModelOutput(Mapping):
    """What a model returns. Fields that a model does not have are None, and are left out of `keys()` and `to_tuple()`.

    hidden_states: layers + 1 arrays (B, L, D), the last of them `last_hidden_state`; attentions: one (B, H, L, L) a
    layer, kernels: one (B, L, H, K) a layer; acts: every named intermediate.

    As in Hugging Face's outputs, `out.logits` is `out["logits"]`, and `out[0]` is the first field that is not None.
    """

    loss: np.floating | None = None
    logits: np.ndarray | None = None
    start_logits: np.ndarray | None = None
    end_logits: np.ndarray | None = None
    last_hidden_state: np.ndarray | None = None
    hidden_states: tuple | None = None
    attentions: tuple | None = None
    kernels: tuple | None = None
    acts: Arrays | None = None

    _undo = None                                       # the backward of the call that made this answer

    def backward(self, *upstream, **options):
        """The gradients of the call that gave this answer, even if the model was called again since.

        The arguments are those of the model's `backward`. Raises ValueError if that call kept no acts.
        """
        if self._undo is None:
            raise ValueError("backward needs a forward before it that kept its acts: call the model with keep=True")
        return self._undo(*upstream, **options)

    def to_tuple(self):
        """The fields that are not None, in order."""
        return tuple(self[name] for name in self)

    def keys(self):
        return dict.fromkeys(self).keys()

    def __iter__(self):
        return (f.name for f in fields(self) if getattr(self, f.name) is not None)

    def __len__(self):
        return sum(1 for _ in self)

    def __getitem__(self, key):
        if isinstance(key, (int, slice)):
            return self.to_tuple()[key]
        names = list(self)
        if key not in names:
            raise KeyError(f"this answer has {', '.join(names)}, but no {key!r}")
        return getattr(self, key)

    def __getstate__(self):
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def __repr__(self):
        return listing(type(self).__name__, [(name, described(x)) for name, x in self.items()])

    def _repr_html_(self):
        rows = [(name, described(x)) for name, x in self.items() if name != "acts"]
        acts = self.acts._repr_html_() if isinstance(self.acts, Arrays) else ""
        return f"<b>{type(self).__name__}</b>{_table(rows)}acts: {acts}"


def described(x):
    """A value in a few words: kind and shape of an array, how many of them, or the number itself."""
    if isinstance(x, np.ndarray) and x.ndim:
        return f"{x.dtype} {x.shape}"
    if isinstance(x, (float, int, np.generic, np.ndarray)):
        return f"{getattr(x, 'dtype', type(x).__name__)} {x:.6g}"
    if isinstance(x, (tuple, list)) and x:
        return f"{len(x)} x {described(x[0])}"
    return summary(x) if isinstance(x, dict) else type(x).__name__


def summary(named):
    """How many arrays a dict has, and how large they are in all."""
    arrays = [x for x in named.values() if isinstance(x, np.ndarray)]
    size = sum(x.nbytes for x in arrays)
    unit, width = next((u, w) for u, w in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("bytes", 1)) if size >= w or w == 1)
    return f"{len(arrays):,} arrays, {sum(x.size for x in arrays):,} numbers, {size / width:.3g} {unit}"


def listing(title, rows):
    """A title and rows of (name, text) below it; the middle of a long list is left out."""
    rows = list(rows)
    width = max([len(str(name)) for name, _ in rows], default=0)
    return clipped("\n".join([title, *(f"  {name:<{width}}  {text}" for name, text in rows)]))


def clipped(text):
    """A text of many lines without its middle."""
    lines = text.split("\n")
    if len(lines) > FIRST + LAST + 1:
        lines[FIRST:-LAST] = [f"  ... {len(lines) - FIRST - LAST} more"]
    return "\n".join(lines)


def folded(title, rows):
    """The title and all rows as HTML, which a notebook shows folded."""
    return f"<details><summary>{html.escape(title)}</summary>{_table(rows)}</details>"


def _table(rows):
    cells = (f'<tr><td style="text-align: left"><code>{html.escape(str(name))}</code></td>'
             f'<td style="text-align: left">{html.escape(str(text))}</td></tr>' for name, text in rows)
    return f"<table>{''.join(cells)}</table>"
