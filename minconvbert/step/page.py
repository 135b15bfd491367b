"""The page of a recording: one HTML file that holds everything and fetches nothing."""

import base64
import json
import math
import zlib
from functools import partial
from typing import NamedTuple

import numpy as np

from ..view.interactive import Page, fill
from .cells import Unclear, even_steps
from .letters import MEANINGS, guessed
from .still import still

MOST_BYTES = 2**17                                     # for one array; a larger one is sampled,
MOST_ASIDE = 2**14                                     # and so is one above this size that has no tokens and no formula

NUMERIC = "biuf"                                       # kinds of dtypes that are drawn

class Head(NamedTuple):
    """The text at the top of the page; the notes come last."""

    eyebrow: str = "Every line that ran, with its numbers"
    lead: str = ("The marked line of code has just run, and the page shows the arrays that it made and read."
                 " Click any line, name or number.")
    notes: tuple = ()


PLAIN = Head()


class Station(NamedTuple):
    """A stop of the walk: a call, and the array that one sees there."""

    title: str
    about: str
    makes: str                                         # the array that its forward is about
    gradient: str                                      # and the one that its backward is about


def page(recording, tokens=(), at=None, token=None, stations=None, pictures=None, head=PLAIN, height=900):
    """The page on which a recording is walked through.

    tokens: labels of the L positions of one sentence; token: the position to follow
    at: the number of the step to open with, or the name of an array: the page then opens with the line that completes
        it; by default with the first line that makes an array
    stations: {function: `Station`}: the walk goes through the calls of these functions, by default those at the top
    pictures: {function: (title, `Page`)}: pages that are stations, each right after the station of its function

    Raises ValueError if there is no step `at`.
    """
    if not recording.steps:
        raise ValueError(f"{recording.title} must run at least one line to be shown, but it ran none")
    stations, pictures, packed = stations or {}, pictures or {}, Packed(recording)
    mains = [call.number for call in recording.calls
             if (_bare(call.function) in stations if stations else call.caller is None)]
    known = dict(
        title=recording.title, **head._asdict(), tokens=list(tokens), token=token or 0,
        start=_start(recording, at, mains), mains=mains, calls=packed.calls, letters=MEANINGS,
        stations=landings(recording, stations, pictures),
        sources=packed.sources, steps=packed.steps, infos=packed.infos, arrays=packed.arrays, blobs=packed.blobs,
        axes=list(packed.axes.items()))
    text = json.dumps(known, separators=(",", ":")).encode()
    pressed = zlib.compress(len(text).to_bytes(4, "little") + text + packed.bytes, 9)
    title, packed = f"Step by step: {recording.title}", base64.b64encode(pressed).decode()
    html = fill(__package__, "step", dict(packed=packed), title, [picture.html for _, picture in pictures.values()])
    return StepPage(recording, known["start"], known["tokens"], html, height, title)


class StepPage(Page):
    """A notebook shows the page, or a still picture of its first step where no script runs, as on GitHub."""

    def __init__(self, recording, step, tokens, *page):
        super().__init__(*page)
        self.recording, self.step, self.tokens = recording, step, tokens

    def _repr_mimebundle_(self, include=None, exclude=None):
        try:
            picture = {"image/png": still(self.recording, self.step, self.tokens)}
        except ModuleNotFoundError:                    # drawing needs matplotlib, walking does not
            picture = {}
        return {"text/html": self._repr_html_(), "text/plain": repr(self.recording)} | picture


def _bare(name):
    return name.removesuffix("_backward")


def _start(recording, at, mains):
    """The number of the step to open with.   Raises ValueError if there is no such step"""
    steps = [step for step in recording.steps if step.call in mains] or recording.steps
    if at is None:
        return next((step.number for step in steps if step.writes), 0)
    if isinstance(at, str):
        made = [step for step in steps if at in step.writes] or recording.made(at)
        if not made:
            names = dict.fromkeys(name for step in recording.steps for name in step.writes)
            raise ValueError(f"at must be an array that a line makes, one of {', '.join(names)}, but is {at!r}")
        return _whole([step for step in made if step.call == made[0].call])
    if not 0 <= at < len(recording):
        raise ValueError(f"at must be the number of a step, from 0 to {len(recording) - 1}, but is {at}")
    return at


def _whole(made):
    """The last of some steps that make an array, except the return, which only hands it back."""
    return next((step.number for step in reversed(made) if not step.source.startswith("return")), made[-1].number)


def landings(recording, stations, pictures=()):
    """The stations in the order in which they run: for each its texts, and the step that makes its array."""
    found = []
    for call in recording.calls:
        back, station = call.function.endswith("_backward"), stations.get(_bare(call.function))
        if station and call.steps:
            name = station.gradient if back else station.makes
            made = [step for step in map(recording.steps.__getitem__, call.steps) if name in step.writes]
            found.append(dict(call=call.number, title=station.title, about=station.about, makes=name, back=back,
                              step=_whole(made) if made else call.steps[0]))
            if call.function in pictures:
                title, picture = pictures[call.function]
                found.append(found[-1] | dict(title=title, about="", makes="", html=picture.html))
    return sorted(found, key=lambda landing: landing["step"])


class Packed:
    """Calls, steps and arrays of a recording, ready for JSON; what occurs more than once is kept once."""

    def __init__(self, recording):
        self.recording = recording
        self.sources, self.infos, self.arrays, self.blobs = [], [], [], []
        self.seen, self.numbered, self.axes, self.bytes = {}, {}, {}, bytearray()
        self.wanted = {id(leaf.array) for step in recording.steps for cells, _ in step.by_hand.values()
                       for leaf in cells.leaves()}
        self.narrow = any(array.dtype == np.float32 for step in recording.steps for array in step.writes.values())
        self.calls = [self.call(call) for call in recording.calls]
        self.steps = [self.step(step) for step in recording.steps]

    def once(self, table, key, value):
        """The place of a value in a table, where it is put if its key is new."""
        place = self.seen.setdefault((id(table), key), len(table))
        if place == len(table):
            table.append(value)
        return place

    def call(self, call):
        source = self.once(self.sources, (call.file, call.first), call.source)
        return dict(name=call.function, file=call.module.replace(".", "/") + ".py", first=call.first, source=source,
                    doc=len(call.doc.split("\n")) if call.doc else 0, caller=call.caller, partner=call.partner)

    def step(self, step):
        entry = dict(c=step.call, l=step.line, e=step.end, r=self.named(step, step.reads),
                     w=self.named(step, step.writes))
        others = {name: f"{array.dtype} {array.shape}" for name, array in step.writes.items()
                  if array.dtype.kind not in NUMERIC}
        more = dict(n=step.numbers | others, k=step.collects, i=step.inner, m=step.mates, says=step.says, x=step.error,
                    h=self.formulas(step), v=step.moves, o=step.origins)
        return entry | {key: value for key, value in more.items() if value}

    def named(self, step, found):
        return [[name, self.info(array, *self.labels(step, name, array))] for name, array in found.items()
                if array.dtype.kind in NUMERIC]

    @staticmethod
    def labels(step, name, array):
        """Letters, name in `acts`, name in the golden pack. Numbers that the line overwrites have letters alone."""
        if name in step.writes and step.writes[name] is not array:
            return step.letters_before[name], "", ""
        return step.letters.get(name, ()), step.acts.get(name, ""), step.golden.get(name, "")

    def info(self, array, letters, acts, golden):
        number = self.array(array, self.most(array, letters, id(array) in self.wanted))
        return self.once(self.infos, (number, letters, acts, golden), [number, list(letters), acts, golden])

    @staticmethod
    def most(array, letters, wanted):
        """The most bytes for an array: many if it has tokens, or if it fits whole and a formula needs it."""
        return MOST_BYTES if "L" in letters or wanted and 2 * array.size <= MOST_BYTES else MOST_ASIDE

    def formulas(self, step):
        found = {}
        for name, (cells, places) in step.by_hand.items():
            try:
                rule = cells.rule(partial(self.leaf, step))
                found[name] = [rule] if places is None else [rule, *_region(places)]
            except Unclear:
                continue
        return found

    def leaf(self, step, array, name):
        letters = step.letters_before.get(name) or step.letters.get(name)
        if name.startswith("padded ") and (within := step.letters.get(name.removeprefix("padded "))):
            letters = ["L + K - 1" if letter == "L" else letter for letter in within]
        letters = letters or guessed(array.shape, self.recording.calls[step.call].sizes)
        if self.narrow and array.dtype == np.float64:
            array = array.astype(np.float32)           # worked out for the formula alone, as wide as the rest
        number = self.array(array, self.most(array, letters or (), True))
        if letters and len(letters) == array.ndim:
            self.axes.setdefault(number, list(letters))
        return number, name

    def array(self, array, most):
        """The number under which the page has an array. Its entries are exact; a large array is sampled."""
        known = self.numbered.get((id(array), most))
        if known is None:                              # keep the array, too, so that no other takes its id
            known = self.numbered[id(array), most] = self.pack(np.asarray(array), most), array
        return known[0]

    def pack(self, array, most):
        steps = _sampling(array, most)
        kept = array[tuple(slice(None, None, n) for n in steps)]
        data = np.ascontiguousarray(_narrowest(kept))
        key = data.dtype.str, data.tobytes()
        blob = self.once(self.blobs, key, [len(self.bytes), data.dtype.str[1:], data.size])
        if self.blobs[blob][0] == len(self.bytes):
            # All first bytes, then all second ones: signs and exponents resemble each other, and press well.
            self.bytes += data.reshape(-1, 1).view(np.uint8).T.tobytes()
        entry = dict(b=blob, s=list(array.shape))
        if max(steps, default=1) > 1:
            entry["every"] = steps
        return self.once(self.arrays, (blob, data.dtype.str, array.shape, tuple(steps)), entry)


def _sampling(array, most):
    """How far apart the kept entries are along each axis; the longest axes are thinned out first."""
    steps, room = [1] * array.ndim, most / max(1, _narrowest(array).dtype.itemsize)
    while math.prod(-(-n // step) for n, step in zip(array.shape, steps)) > room:
        longest = max(range(array.ndim), key=lambda axis: array.shape[axis] / steps[axis])
        steps[longest] += 1
    return steps


def _narrowest(array):
    """The same numbers in the narrowest little-endian type that holds them exactly."""
    if array.dtype.kind == "b":
        return array.astype("u1")
    if array.dtype.kind != "f":
        return array.astype("<i4" if np.array_equal(array.astype("<i4"), array) else "<f8")
    with np.errstate(over="ignore", invalid="ignore"):
        return next(narrow for narrow in (array.astype(kind) for kind in ("<f2", "<f4", "<f8"))
                    if narrow.dtype.itemsize == 8 or np.array_equal(narrow.astype(array.dtype), array, equal_nan=True))


def _region(places):
    """The part of an array that a line wrote to: its first place, the steps along its axes, and their lengths."""
    origin, steps = even_steps(places)
    return [origin, steps, list(places.shape)]
