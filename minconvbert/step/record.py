"""Run a function and write down, for each line, what it read, what it bound or changed, and what it called."""

import inspect
from dataclasses import dataclass, field

import numpy as np

from .. import activations, attention, conv, electra, heads, losses, model, ops
from ..shapes import dims, letters_of
from . import by_hand
from .letters import LETTERS, fits, guessed, said_in_comment
from .page import page
from .source import read
from .trace import RESUMED, arrays, tracing

CORE = (ops, activations, conv, attention, losses, model, heads, electra)
MOST = 20_000                                          # steps; nobody could walk through more


@dataclass
class Step:
    """One run of one statement. Arrays have the names by which one would write them: p["query.weight"]."""

    number: int
    call: int                                          # of the list `calls`: in which call it ran
    line: int                                          # in the file, from `line` to `end`
    end: int
    source: str
    reads: dict                                        # name: array, as it was before the line
    writes: dict                                       # name: array, as it was after it
    numbers: dict                                      # name: int, float, bool or str that the line bound
    collects: list                                     # names under which the line put arrays that were there before
    inner: list                                        # the recorded calls that the line made
    by_hand: dict                                      # name: (Cells, places or None), the formula of every entry
    origins: dict = field(default_factory=dict)        # name that was read: its `relate.Origin`
    moves: dict = field(default_factory=dict)          # array that it takes from acts or returns: its name as read
    # If an array was both read and written, these three describe what was written.
    letters: dict = field(default_factory=dict)        # name: one text for each axis, as ("B", "L", "H Dh")
    acts: dict = field(default_factory=dict)           # name: the array's name in the acts that were returned
    golden: dict = field(default_factory=dict)         # name: the array's name in the golden pack
    mates: list = field(default_factory=list)          # forward line: the steps of its backward, and the reverse
    letters_before: dict = field(default_factory=dict)  # the letters of what was read, if the line wrote to it
    says: dict = field(default_factory=dict)           # function that the line calls: the first line of its docstring
    error: str = ""


@dataclass
class Call:
    """One call of a function whose lines were recorded."""

    number: int
    function: str
    module: str
    file: str
    first: int                                         # the line of `def` (or of a decorator above it)
    source: list
    doc: str
    depth: int
    caller: int | None                                 # the number of the call that made it
    steps: list = field(default_factory=list)
    sizes: dict = field(default_factory=dict)          # letter: how many, as far as it or a caller has names for them
    partner: int | None = None                         # the call of the backward of this forward, and the reverse


@dataclass(repr=False)
class Recording:
    """Calls and steps; steps are in the order in which they ended, so that a line follows the lines of its calls."""

    title: str
    calls: list
    steps: list
    results: object = None
    error: str = ""

    def page(self, **options):
        """The page to walk through it: a notebook shows it, `save(path)` writes it. Options as in `page.page`."""
        return page(self, **options)

    def save(self, path, **options):
        """Write the page, whole or not at all."""
        self.page(**options).save(path)

    def _repr_mimebundle_(self, include=None, exclude=None):
        return self.page()._repr_mimebundle_()

    def __repr__(self):
        return f"<{self.title}: {len(self.steps)} steps in {len(self.calls)} calls>"

    def __len__(self):
        return len(self.steps)

    def __getitem__(self, number):
        return self.steps[number]

    def made(self, name, function=None):
        """The steps that bound or changed an array of this name."""
        return [step for step in self.steps if name in step.writes
                and function in (None, self.calls[step.call].function)]

    def used(self, name, function=None):
        """The steps that read an array of this name."""
        return [step for step in self.steps if name in step.reads
                and function in (None, self.calls[step.call].function)]


def require_source(function):
    """The function itself, unwrapped.   Raises TypeError or ValueError if its lines cannot be followed or shown"""
    name = getattr(function, "__name__", repr(function))
    if not callable(function):
        raise TypeError(f"steps needs a function, but {name} is a {type(function).__name__}")
    plain = inspect.unwrap(getattr(function, "__func__", function))
    if not inspect.isfunction(plain):
        raise TypeError(f"steps needs a function that is written in Python with `def`, but {name} is not: it has no"
                        " lines to show")
    if plain.__name__ == "<lambda>":
        raise ValueError("steps needs a function with lines of its own, but this is a lambda; write it with `def`")
    if plain.__code__.co_flags & RESUMED:
        raise ValueError(f"steps needs a function that runs from beginning to end, but {name} is a generator or"
                         " coroutine; write a function that returns what it yields as a list")
    try:
        inspect.getsourcelines(plain)
    except (OSError, TypeError):
        raise ValueError(f"steps needs the source of {name}, but there is none; write the function in a file or in a"
                         " cell of a notebook") from None
    return plain


def record(run, functions, skip=None, title="", sizes=None):
    """Run a function without arguments, and record the lines of all `functions` that it calls.

    skip: `skip(frame)` is true for a call to leave out, with all that it calls; sizes: {letter: size} for all calls

    ->  a `Recording`; {id of a copy: (the array, its copy)}

    If something raises, the recording ends there and says so.
    """
    recorder, error = Recorder({f.__code__ for f in functions}, skip, sizes), ""
    try:
        with tracing(recorder.enter):
            run()
    except TooLong:
        raise
    except Exception as problem:                       # whatever a student's function may raise is shown at its line
        endless = isinstance(problem, RecursionError) and recorder.steps
        if not (endless or recorder.steps and recorder.steps[-1].error):
            raise
        error = _told(problem)
    return Recording(title, recorder.calls, recorder.steps, None, error), recorder.originals


def _told(error):
    return f"{type(error).__name__}: {error}"


class TooLong(ValueError):
    pass


class Recorder:
    """Hears of every call while a function runs."""

    def __init__(self, codes, skip=None, sizes=None):
        self.codes, self.skip, self.asleep, self.sizes = codes, skip, 0, sizes or {}
        self.calls, self.steps, self.stack = [], [], []
        self.copies = {}                               # id of an array: the array, and its latest copy
        self.originals = {}                            # id of a copy: the array, and the copy
        self.letters = {}                              # id of an array: the array, and its axes in a `dims` line

    def enter(self, frame):
        if self.skip and self.skip(frame):
            self.asleep += 1
            return self.wake
        if self.asleep:
            return None
        if frame.f_code is dims.__code__:
            self.hear_letters(frame)
        return Running(self, frame).ran if frame.f_code in self.codes else None

    def wake(self, line, end):
        self.asleep -= end is not None

    def hear_letters(self, frame):
        here = self.stack[-1] if self.stack and self.stack[-1].frame is frame.f_back else None
        for (name, letters), array in zip(letters_of(frame.f_locals["spec"]), frame.f_locals["arrays"]):
            if "..." not in letters and isinstance(array, np.ndarray):
                self.letters.setdefault(id(array), (array, tuple(letters)))
                if here:
                    here.letters[name] = tuple(letters)
                    here.note_sizes(dict(zip(letters, array.shape)))

    def frozen(self, value):
        """The same value with a copy in place of every array; an array that has not changed keeps its copy."""
        if isinstance(value, np.ndarray):
            _, copy = self.copies.get(id(value), (value, None))
            if copy is None or not _identical(copy, value):
                copy = value.copy()
                copy.flags.writeable = False
                self.originals[id(copy)] = value, copy
                self.copies[id(value)] = value, copy
            return copy
        if type(value) is dict:
            return {key: self.frozen(x) for key, x in value.items()}
        return type(value)(map(self.frozen, value)) if type(value) in (tuple, list) else value


def _identical(a, b):
    return a.shape == b.shape and a.dtype == b.dtype and np.array_equal(_bytes(a), _bytes(b))


def _bytes(a):
    return a.reshape(-1).view(np.uint8) if a.dtype.hasobject is False else a


class Running:
    """One call while it runs."""

    def __init__(self, recorder, frame):
        self.recorder, self.frame, self.letters, self.inner = recorder, frame, {}, []
        self.function = read(frame.f_code)
        above = recorder.stack[-1] if recorder.stack else None
        self.call = Call(
            len(recorder.calls), frame.f_code.co_name, frame.f_globals.get("__name__", ""), frame.f_code.co_filename,
            self.function.first, self.function.source, self.function.doc, len(recorder.stack),
            above.call.number if above else None)
        recorder.calls.append(self.call)
        recorder.stack.append(self)
        if above:
            above.inner.append(self.call.number)
        self.before = recorder.frozen(dict(frame.f_locals))
        self.call.sizes |= above.call.sizes if above else recorder.sizes
        self.note_sizes(self.before)

    def note_sizes(self, variables):
        self.call.sizes |= {name: int(x) for name, x in variables.items()
                            if name in LETTERS and isinstance(x, (int, np.integer)) and not isinstance(x, bool)}

    def ran(self, line, end):
        statements = self.function.statements
        statement = statements.get(line)
        if end or statement is not statements.get(self.frame.f_lineno):
            after = self.recorder.frozen(dict(self.frame.f_locals))
            self.note_sizes(after)
            if statement is not None and not statement.is_over(self.frame.f_lineno, end):
                self.finish(statement, after, end)
            self.before = after
        if end:
            self.recorder.stack.pop()
            for number in self.call.steps:
                self.name_axes(self.recorder.steps[number])

    def finish(self, statement, after, end):
        steps, before, globals_ = self.recorder.steps, self.before, self.frame.f_globals
        if len(steps) >= MOST:
            raise TooLong(f"the run must have at most {MOST} steps, but {self.call.function} goes on; step a smaller"
                          " case, or into fewer functions")
        was, now = arrays(before), arrays(after)
        names = [by_hand.name_of(target, globals_ | after) for target in statement.targets]
        writes, collects = _changed(was, now, names)
        if statement.returns and end and not end.error:
            parts = statement.named_results(self.function.doc, self.recorder.frozen(end.value))
            writes |= {name: np.asarray(x) for name, x in parts.items() if isinstance(x, (np.ndarray, np.floating))}
            found = by_hand.returned(statement.node, globals_ | before, parts)
        else:
            found = by_hand.formulas(statement.node, globals_ | before, globals_ | after)
        numbers = {name: after[name] for name in names if isinstance(after.get(name), (int, float, bool, str))}
        step = Step(
            len(steps), self.call.number, statement.first, statement.last, self.function.text(statement),
            {name: was[name] for name in statement.reads if name in was}, writes, numbers, collects, self.inner, found,
            says=statement.says(globals_ | before), error=_told(end.error) if end and end.error else "")
        self.inner = []
        steps.append(step)
        self.call.steps.append(step.number)

    def name_axes(self, step):
        """Name the axes of its arrays: of all letters in the source, the first that fit."""
        comment = said_in_comment(self.function.comment(self.function.statements[step.line]), list(step.writes))
        step.letters = {name: self.letters_of(name, array, comment.get(name) if name in step.writes else None)
                        for name, array in (step.reads | step.writes).items()}
        step.letters_before = {name: self.letters_of(name, step.reads[name], None)
                               for name in step.reads.keys() & step.writes.keys()}

    def letters_of(self, name, array, comment):
        original, _ = self.recorder.originals.get(id(array), (None, None))
        _, heard = self.recorder.letters.get(id(original), (None, None))
        bare = name[1:] if name.startswith("d") else name
        said = self.function.letters
        for letters in (comment, self.letters.get(name), said.get(name), self.letters.get(bare), said.get(bare),
                        said.get(f"d{name}"), heard):
            if letters and fits(letters, array.shape, self.call.sizes):
                return letters
        return guessed(array.shape, self.call.sizes)


def _changed(was, now, targets):
    """-> {name: array} of what a line bound or changed, and the names under which it put arrays that were there before

    targets: the names that the line assigns to; g[...] where its key is not known.
    """
    there = {id(array) for array in was.values()}
    new = {name: array for name, array in now.items() if was.get(name) is not array
           and not (name in was and array.ndim == 0 and _identical(was[name], array))}
    bases = tuple(f'{target.partition("[")[0]}["' for target in targets if "[" in target and target not in now)
    writes = {name: now[name] for name in targets if name in now}
    writes |= {name: array for name, array in new.items() if bases and name.startswith(bases)}
    shown = {id(array) for array in writes.values()}
    writes |= {name: array for name, array in new.items()
               if name in was and name not in writes and id(array) not in there | shown}
    return writes, [name for name in new if name not in writes]
