"""Exercises that check themselves: write a function of this package, and see which of your lines departs first.

    from minconvbert.course import check, stub
    print(stub("softmax_backward"))                   # what to write
    check(softmax_backward, seed="Ada")               # yours, on fresh numbers drawn from the seed

Stubs, answers and intermediates come from the package's own source.
"""

from .attempt import Attempt, attempt
from .check import Verdict, check, judge
from .exercises import EXERCISES, case, reference
from .grade import grade
from .handout import imports, solution, stub
from .hints import HINTS, hint
