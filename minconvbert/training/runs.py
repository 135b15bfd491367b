"""What both trainings share: a run's folder with its state, its log, the loop over its steps, and its curves."""

import json
from typing import NamedTuple

import numpy as np

from ..checkpoint.safetensors import read_with_metadata, write_safetensors
from ..files import write_atomic
from ..shapes import sub, under
from .progress import Progress, append_json_line, json_line, read_json_lines

STATE, LOG, CURVES = "state.safetensors", "log.jsonl", "curves.png"
LOSSES = ("generator_loss", "discriminator_loss", "loss")


class Every(NamedTuple):
    """After how many steps a run writes to its log, saves its state, and measures itself."""

    log: int
    save: int
    measure: int


def due(step, every, last):
    """Whether something is done after this step: at every multiple of `every`, and at the last step."""
    return step % every == 0 or step == last


def loop(out, state, step_once, steps, every, made_by, keeps=True):
    """Step until `steps`, with a progress bar, a log, and a state to go on from.   ->  yields (step, figures)

    step_once: takes one step of `state`, in place, and returns its figures. What the caller does with a step, as
    measuring, is done before the state of this step is saved: a run that is killed in between does it again. Of the
    processes that share a run, one `keeps` log and state.

    Raises FloatingPointError, with the remedy, if a gradient is not finite.
    """
    progress = Progress(steps, state["step"])
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
        if keeps and due(step, every.save, steps):
            save_state(out / STATE, state, made_by)


def resume_log(out, step):
    """Cut the log at a step, because the steps after it are run again  ->  its entries"""
    log = out / LOG
    kept = [entry for entry in read_json_lines(log) if entry["step"] <= step] if log.exists() else []
    write_atomic(log, "".join(map(json_line, kept)))
    return kept


def draw_curves(log, path):
    """The losses over the steps, and the figures that are shares, from a log to a picture. Needs matplotlib."""
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
    """The whole state of a run in one file, written whole or not at all."""
    tensors = under("params", state["params"]) | under("moments", state["moments"])
    write_safetensors(path, tensors, dict(step=str(state["step"]), made_by=json.dumps(made_by, sort_keys=True)))


def load_state(path, made_by, parts=None):
    """What `save_state` wrote.

    parts: those of `made_by` that must agree (all)   Raises ValueError if the state is of another configuration.
    """
    tensors, metadata = read_with_metadata(path)
    if "made_by" not in metadata:
        raise ValueError(f"{path} must be the state of a run, but is another file; use another --out")
    found, made_by = ({name: made.get(name, {}) for name in parts or made} for made in (
        json.loads(metadata["made_by"]), made_by))
    if found != made_by:
        names = {name for part in made_by for name in {**made_by[part], **found.get(part, {})}
                 if made_by[part].get(name) != found.get(part, {}).get(name)}
        raise ValueError(f"{path} is the state of another run ({', '.join(sorted(names))} differ); "
                         "use its options again, or another --out")
    writable = {name: np.array(x) for name, x in tensors.items()}
    return dict(step=int(metadata["step"]), params=sub(writable, "params"), moments=sub(writable, "moments"))
