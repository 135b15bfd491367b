"""Step through a function: every line that ran, with the arrays that it read and made.

    from minconvbert.step import steps
    steps(softmax, x)                                  # in a notebook: a page to walk through
    steps(span_dynamic_conv, x, query, None, p, cfg, dout=dout, into=True).save("step.html")

`trace` listens to the running code, `record` writes down what each line did, `by_hand` finds the formula of every
number, `relate` puts forward and backward side by side, `page` shows it all.
"""

from .record import Call, Recording, Step
from .stepping import steps

__all__ = ["Call", "Recording", "Step", "steps"]
