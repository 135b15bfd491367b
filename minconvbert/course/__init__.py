"""Exercises that check themselves: write a function of this package, and hear which of your lines departs first.

    from minconvbert.course import check, stub
    print(stub("softmax_backward"))                   # what to write
    check(softmax_backward, seed="Ada")               # yours, on fresh numbers drawn from the seed

Stubs, answers and intermediates come from the package's own source.
"""

from .check import Attempt, Verdict, attempt, check, judge
from .exercises import EXERCISES, case, imports, reference, solution, stub
from .grade import grade
from .hints import HINTS, hint
