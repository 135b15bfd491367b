"""The faults that `mutate.py` plants, and its list of those that change no answer."""

from pathlib import Path

from mutants import changed, faults
from mutate import ROOT, equivalents

SOURCE = '''
def f(x, y, n=3):
    """Text 1 + 1."""
    if x is not None and y < 2.0:
        raise ValueError(f"é {x + 1}")
    g(x)
    total = h(x, y, axis=1)[n:] + (-x)
    total *= True
    return total if x else min(x, y)
'''


def test_the_faults_of_a_text():
    planted = {after for _, _, after in (changed(SOURCE, fault) for fault in faults(SOURCE))}
    assert planted == {
        "def f(x, y, n=4):", "if x is None and y < 2.0:", "if x is not None or y < 2.0:",
        "if x is not None and y <= 2.0:", "if x is not None and y < (2.0 * 1.5):", "pass", "(x)",
        "total = h(y, x, axis=1)[n:] + (-x)", "total = h(x, y)[n:] + (-x)", "total = h(x, y, axis=2)[n:] + (-x)",
        "total = h(x, y, axis=1)[(n) + 1:] + (-x)", "total = h(x, y, axis=1)[n:] - (-x)",
        "total = h(x, y, axis=1)[n:] + ((x))", "total /= True", "total *= False",
        "return total if (not x) else min(x, y)"}
    for fault in faults(SOURCE):
        compile(changed(SOURCE, fault)[0], "mutant", "exec")


def test_the_list_of_equivalents_is_of_faults_that_can_be_planted():
    """Where the line has changed, the entry has to go or to follow."""
    listed = equivalents()
    assert len(listed) == Path(ROOT, "tests/equivalent_mutants.txt").read_text(encoding="utf-8").count("\n    -> ")
    for file in {file for file, _, _ in listed}:
        source = (ROOT / file).read_text(encoding="utf-8")
        there = {(file, before, text) for _, before, after in (changed(source, fault) for fault in faults(source))
                 for text in (after, "*")}
        assert not {entry for entry in listed if entry[0] == file} - there
    assert all(len(why.split()) > 3 for why in listed.values())
