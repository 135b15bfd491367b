"""Each file holds the arguments and the printing of one command; the work is done in other folders."""

import math

# Options that only some tasks have: {name in the task's functions: name on the command line}.
OF_TASKS = {"column": "--column", "problem": "--problem", "labels": "--labels", "summary": "--summary",
            "stride": "--stride", "threshold": "--no-answer-threshold"}


def check_ranges(args, lowest, highest, *names):
    """Raises ValueError if one of these options was given and is not a finite number from `lowest` to `highest`."""
    for name in names:
        value = getattr(args, name)
        if value is not None and not (lowest <= value <= highest and value < math.inf):
            limits = f"at least {lowest}, and finite" if value == math.inf else (
                f"at least {lowest}" if highest == math.inf else f"from {lowest} to {highest}")
            raise ValueError(f"--{name.replace('_', '-')} must be {limits}, but is {value}")


def task_options(args, tasks):
    """The options that were given, grouped by the task's function that takes them: read, configure, encode, decode.

    Raises ValueError for an option that the task does not have.
    """
    has = {name: tasks.get(name).OPTIONS for name in tasks.TASKS}
    given = {name: value for name in OF_TASKS if (value := getattr(args, name, None)) is not None}
    for name in given:
        able = [task for task, options in has.items() if any(name in names for names in options.values())]
        if args.task not in able:
            raise ValueError(f"{OF_TASKS[name]} is for {' and '.join(able)} only, but the task is {args.task}")
    own = has[args.task]
    return {function: {name: given[name] for name in own.get(function, ()) if name in given}
            for function in ("read", "configure", "encode", "decode")}
