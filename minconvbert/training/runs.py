"""What both trainings share: a run's folder with its state, its log, the loop over its steps, and its curves."""

import contextlib
import json
import signal
import threading
from typing import NamedTuple

import numpy as np

from ..checkpoint.safetensors import read_with_metadata, write_safetensors
from ..files import locked, remove_parts, write_atomic
from ..shapes import sub, under
from .progress import Progress, append_json_line, json_line, read_json_lines, say
from .ranks import Ranks

LOCK, STATE, LOG, CURVES = "run.lock", "state.safetensors", "log.jsonl", "curves.png"
LOSSES = ("generator_loss", "discriminator_loss", "loss")


class Every(NamedTuple):
    """After how many steps a run writes to its log, saves its state, and measures itself."""

    log: int
    save: int
    measure: int


class Stopped(KeyboardInterrupt):
    """A signal ended a run after a whole step; its state is saved.   code: the process's exit code, 128 + signal"""

    def __init__(self, message, code):
        super().__init__(message)
        self.code = code


@contextlib.contextmanager
def signals(quiet=False):
    """Catch the first SIGINT, SIGTERM or SIGHUP while the block runs.   ->  a list, which gets its number

    The second signal acts as usual. Outside the main thread nothing is caught, because Python gives it all signals.
    """
    came, before = [], {}
    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]

    def note(number, frame):
        came.append(number)
        for number, handler in before.items():
            signal.signal(number, handler)
        if not quiet:
            say("stopping after this step; interrupt once more to stop at once")

    if threading.current_thread() is threading.main_thread():
        for number in (getattr(signal, name) for name in names):
            if signal.getsignal(number) not in (signal.SIG_IGN, None):         # nohup ignores SIGHUP
                before[number] = signal.signal(number, note)
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def run_folder(out, files):
    """Keep a run's folder for this process, and remove files that an earlier run left half-written.

    files: what the run writes, relative to the folder.   Raises ValueError if another run is at work there.
    """
    out.mkdir(parents=True, exist_ok=True)
    with locked(out / LOCK):
        remove_parts(out, files)
        yield


def due(step, every, last):
    """Whether something is done after this step: at every multiple of `every`, and at the last step."""
    return step % every == 0 or step == last


def loop(out, state, step_once, steps, every, made_by, ranks=Ranks()):
    """Step until `steps`, with a progress bar, a log, and a state to go on from.   ->  yields (step, figures)

    step_once: takes one step of `state`, in place, and returns its figures. The caller's own work after a step, such as
    measuring, comes before the state of that step is saved, so a run that is killed in between repeats it. If several
    processes share a run, only the first writes the log and the state.

    Raises FloatingPointError, with the remedy, if a gradient is not finite; Stopped after a signal.
    """
    with signals(quiet=ranks.rank > 0) as came:
        yield from _steps(out, state, step_once, steps, every, made_by, ranks, came)


def _steps(out, state, step_once, steps, every, made_by, ranks, came):
    progress, keeps = Progress(steps, state["step"]), ranks.rank == 0
    while state["step"] < steps:
        try:
            figures = step_once()
        except FloatingPointError as error:
            saved = out / STATE
            kept = f"The last good state stays in {saved}" if saved.exists() else "No state has been saved yet"
            raise FloatingPointError(f"step {state['step']}: {error}. {kept}; try a lower --learning-rate, in another"
                                     " --out") from None
        step = state["step"]
        if keeps:
            progress(step, **{name: figures[name] for name in figures if name != "rate"})
            if due(step, every.log, steps):
                append_json_line(out / LOG, step=step, **figures)
        yield step, figures
        stop = _stop_asked(came, ranks)
        if keeps and (stop or due(step, every.save, steps)):
            save_state(out / STATE, state, made_by)
        if stop and step < steps:
            ranks.add_up(np.zeros(1))                  # nobody ends before the state is saved
            message = f"stopped after step {step} of {steps}; the same command goes on from {out / STATE}"
            raise Stopped(message if keeps else "", 128 + stop)


def _stop_asked(came, ranks):
    """The number of a signal that came to any of the processes, or 0; all of them get the same answer."""
    asked = np.zeros(65)
    asked[came[:1]] = 1
    ranks.add_up(asked)
    return int(asked.argmax())


def resume_log(out, step):
    """Cut the log after a step, because the later steps are run again  ->  the entries that are left"""
    log = out / LOG
    entries = read_json_lines(log) if log.exists() else []
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("step"), int):
            raise ValueError(f"{log} must have objects with a step, but has {entry!r:.80}; remove that line")
    kept = [entry for entry in entries if entry["step"] <= step]
    write_atomic(log, "".join(map(json_line, kept)))
    return kept


def draw_curves(log, path):
    """Draw the losses of a log, and its measured figures between 0 and 1, over the steps. Needs matplotlib."""
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    entries = read_json_lines(log)
    trained = [entry for entry in entries if "rate" in entry]
    measured = {entry["step"]: entry.get("held_out") or entry.get("dev") for entry in entries
                if "held_out" in entry or "dev" in entry}
    losses = [name for name in LOSSES if trained and name in trained[0]][:2] or ["loss"]
    panels = len(losses) + bool(measured)
    figure, axes = plt.subplots(1, panels, figsize=(4 * panels, 3.2), layout="constrained", squeeze=False)
    for axis, name in zip(axes[0], losses):
        axis.plot([e["step"] for e in trained], [e[name] for e in trained], linewidth=0.8)
        axis.set(title=name.replace("_", " "), xlabel="step", ylabel="nats")
    for name in next(iter(measured.values()), ()):
        values = [figures[name] for figures in measured.values()]
        if all(value is not None and 0 <= value <= 1 for value in values):
            axes[0, -1].plot(list(measured), values, marker="o", markersize=3, label=name.replace("_", " "))
    if measured:
        axes[0, -1].set(title="text that was held out", xlabel="step", ylim=(0, 1))
        if axes[0, -1].lines:
            axes[0, -1].legend()
    figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(figure)


def save_state(path, state, made_by):
    """Write the state of a run to one file, whole or not at all."""
    tensors = under("params", state["params"]) | under("moments", state["moments"])
    write_safetensors(path, tensors, dict(step=str(state["step"]), made_by=json.dumps(made_by, sort_keys=True)))


def load_state(path, made_by, parts=None):
    """The state that `save_state` wrote.

    parts: the entries of `made_by` that must agree (default: all).   Raises ValueError if one does not, or if the file
    is damaged.
    """
    tensors, metadata = read_with_metadata(path)
    recorded = _recorded(metadata, path)
    found, made_by = ({name: made.get(name, {}) for name in parts or made} for made in (recorded, made_by))
    if found != made_by:
        names = {name for part in made_by for name in {**made_by[part], **found.get(part, {})}
                 if made_by[part].get(name) != found.get(part, {}).get(name)}
        raise ValueError(f"{path} is the state of another run ({', '.join(sorted(names))} differ); "
                         "use its options again, or another --out")
    writable = {name: np.array(x) for name, x in tensors.items()}
    state = dict(step=int(metadata["step"]), params=sub(writable, "params"), moments=sub(writable, "moments"))
    shapes = {f"{moment}.{name}": x.shape for moment in "mv" for name, x in state["params"].items()}
    if {name: x.shape for name, x in state["moments"].items()} != shapes or not shapes:
        raise ValueError(f"{path} must have two moments for every parameter, but does not: it is damaged; use another"
                         " --out")
    return state


def _recorded(metadata, path):
    """`made_by`, as the metadata of a state file record it."""
    try:
        made_by = json.loads(metadata["made_by"])
        if metadata["step"].isdecimal() and all(isinstance(part, dict) for part in made_by.values()):
            return made_by
    except (KeyError, ValueError, AttributeError, RecursionError):
        pass
    raise ValueError(f"{path} must be the state of a run, but is another file or damaged; use another --out")
