"""The commands: one file for each, with its arguments and what it prints; what it does is in the other rooms."""

import math


def check_ranges(args, lowest, highest, *names):
    """Raises ValueError for an option that is not from `lowest` to `highest`; one that was not given is."""
    for name in names:
        value = getattr(args, name)
        if value is not None and not lowest <= value <= highest:
            limits = f"at least {lowest}" if highest == math.inf else f"from {lowest} to {highest}"
            raise ValueError(f"--{name.replace('_', '-')} must be {limits}, but is {value}")


def only_for(args, name, *names):
    if getattr(args, name) is not None and args.task not in names:
        raise ValueError(f"--{name.replace('_', '-')} is for {' and '.join(names)} only, but the task is {args.task}")
