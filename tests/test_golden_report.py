"""What a report on a port says, from cases made by hand: every count, which tensor is worst, and what is left out."""

import json
import xml.etree.ElementTree as ElementTree

import pytest

from minconvbert.golden.diagnosis import Diagnosis
from minconvbert.golden.report import CaseReport, Report, Row, some
from minconvbert.golden.scoring import Line, Score
from minconvbert.golden.trace import BY_TAPE


def case(id, rows, level="op", **more):
    """rows: "a" to "z" with an error for each tensor: below 1 it is right, above it departs; None: it is missing."""
    return CaseReport(id, level, "", [Row(
        name, "missing" if error is None else "ok" if error < 1 else "departs", error)
        for name, error in zip("abcdefghijklmnopqrstuvwxyz", rows)], **more)


RIGHT, WRONG, NONE = (0.25, None, 0.75, 0.5), (0.5, 3.0, 0.25, 2.0, None), (None, None)


@pytest.mark.parametrize("rows, expected, said", (
    (RIGHT, False, "right: 3 tensors, 1 missing, worst 0.75 tolerances at c"),
    (WRONG, False, "wrong: 2 of 4 tensors, 1 missing"), (NONE, False, "not handed in"),
    (RIGHT[:1], False, "right: 1 tensors, worst 0.25 tolerances at a"),
    (WRONG[:2], True, "wrong, as expected: 1 of 2 tensors"),
    (RIGHT[:1], True, "right, but expected to be wrong; remove it from the expected failures: 1 tensors, worst 0.25 tolerances at a")))
def test_the_verdict_on_a_case_counts_its_tensors(rows, expected, said):
    one = case("x", rows, expected_to_fail=expected)
    assert one.verdict == said
    assert one.first == ("b" if rows[:2] == WRONG[:2] else None)


def test_a_row_says_its_error_and_what_is_wrong():
    assert str(Row("a", "departs", 1.23456, "look")).split() == ["a", "1.235", "departs:", "look"]
    assert str(Row("a", "missing")).split() == ["a", "missing"]


def test_around_the_first_wrong_tensor_a_screen_of_rows_is_shown_and_the_rest_counted():
    one = case("x", [0.5] * 5 + [2.0] * 15)
    lines = [line.split() for line in one.lines(12)]
    assert [line[0] for line in lines[1:13]] == list("defghijklmno") and lines[13] == "... and 5 more that are wrong".split()
    assert lines[14] == ["first", "to", "depart:", "f"] and len(lines) == 15
    odd = case("y", [0.5] * 5 + [2.0] * 15)
    odd.rows[-1].status = "wrong shape"                 # is shown, wherever it is
    assert [line.split()[0] for line in odd.lines(12)[1:15]] == [*"defghijklmno", "t", "..."]
    assert "and 4 more that are wrong" in odd.lines(12)[14]
    assert [line.split()[0] for line in one.lines()[1:21]] == list("abcdefghijklmnopqrst")


@pytest.mark.parametrize("extra, said", ((2, "u, v"), (3, "u, v, w"), (5, "u, v, w, ...")))
def test_names_that_a_case_does_not_have_are_counted(extra, said):
    one = case("x", RIGHT)
    one.rows += [Row(name, "extra") for name in "uvwxyz"[:extra]]
    assert one.lines(3)[-1] == f"    {extra} names that the case does not have: {said}"
    assert one.compared == [one.rows[0], *one.rows[2:4]]


NOT_ALL = ", and no mistake of the catalogue explains the rest"


@pytest.mark.parametrize("diagnosis, said", (
    (Diagnosis([], 0, 5), "no mistake of the catalogue explains these numbers"),
    (Diagnosis(["a"], 3, 5), f"“a” reproduces 3 of 5 departing tensors{NOT_ALL}"),
    (Diagnosis([*"abcd"], 5, 5, True), "“a” or “b” or “c” or “d” reproduces 5 of 5 departing tensors"),
    (Diagnosis([*"abcdef"], 5, 5, True), "“a” or “b” or “c” or “d” or 2 others reproduces 5 of 5 departing tensors"),
    (Diagnosis(["a"], 5, 5, True, gradients=BY_TAPE, ruled_out=dict(b="it is not")),
     "“a” reproduces 5 of 5 departing tensors, with the gradients that follow from it; “b” also gives these numbers, but"
     " it is not"),
    (Diagnosis(["a"], 3, 5, then=Diagnosis(["b"], 1, 2)), "“a” reproduces 3 of 5 departing tensors; beyond that, “b”"
     f" reproduces 1 of 2 departing tensors{NOT_ALL}")))
def test_a_diagnosis_in_words(diagnosis, said):
    assert str(diagnosis) == said
    assert [part.mistakes for part in diagnosis.chain()] == [diagnosis.mistakes, *([["b"]] if diagnosis.then else [])]


@pytest.mark.parametrize("values, sharp, said", (
    (["1e-7", "1e-5"], True, "from 1e-8 to 1e-4"), (["1e-7"], False, "from 1e-8 to 1e-5"), (["0"], False, "at most 1e-8"),
    (["1e-3"], False, "at least 1e-4"), (["1e-5"], True, "1e-5")))
def test_values_that_the_numbers_do_not_fix_are_said_as_a_range(values, sharp, said, monkeypatch):
    known = [f"{n:.0e}".replace("e-0", "e-") for n in (1e-3, 1e-4, 1e-5, 1e-7, 1e-8)] + ["0"]
    monkeypatch.setattr("minconvbert.golden.diagnosis.RANGES", [("eps {}", {f"eps {n}": n for n in known})])
    found = Diagnosis([f"eps {n}" for n in values], 2, 3, complete=True, sharp=sharp)
    assert str(found) == f"“eps {said}” reproduces 2 of 3 departing tensors"
    assert found.named == f"eps {said}" and found.to_dict()["named"] == found.named
    assert Diagnosis(["eps 0", "else"], 1, 1, complete=True).named is None


def named(*mistakes):
    return Diagnosis(list(mistakes), 1, 1, complete=True)


def test_a_table_counts_cases_and_names_mistakes_the_commonest_first():
    wrong = [case(f"w{i}", WRONG, diagnosis=named("rare" if i == 0 else "common")) for i in range(6)]
    report = Report([case("r", RIGHT), *wrong, case("n", NONE)], notes=["a file is damaged"])
    assert str(report).splitlines()[-4:] == [
        "note: a file is damaged", "named: common   (5 cases: w1, w2, w3, w4, ...)", "named: rare   (1 case: w0)",
        "1 of 7 cases right, 1 not handed in"]
    assert report.mistakes == {"rare": ["w0"], "common": ["w1", "w2", "w3", "w4", "w5"]}


def test_many_right_cases_have_a_line_for_each_level():
    cases = [case(f"o{i}", (0.1, 0.2 + i / 100, None)) for i in range(8)] + [
        case(f"m{i}", (0.9 - i / 10, 0.01), "model") for i in range(4)]
    assert len([line for line in str(Report(cases)).splitlines() if line.startswith(("o", "m"))]) == 12
    cases.append(case("m4", (0.3,), "model", expected_to_fail=True))
    ops, model, unexpected, last = str(Report(cases)).splitlines()
    assert ops.split(maxsplit=1) == ["op", "right: 8 cases, 16 tensors, 8 missing, worst 0.27 tolerances at o7: b"]
    assert model.split(maxsplit=1) == ["model", "right: 5 cases, 9 tensors, worst 0.9 tolerances at m0: a"]
    assert unexpected.startswith("m4 ") and "remove it from the expected failures" in unexpected
    assert last == "13 of 13 cases right, 0 not handed in"


def test_of_many_wrong_cases_the_first_has_its_rows_eight_have_a_line_and_the_rest_their_ids():
    report = Report([case(f"w{i}", (0.5, 2.0, 3.0, 4.0)) for i in range(15)])
    lines = str(report).splitlines()
    assert [line.split()[0] for line in lines[:6]] == ["w0", "a", "b", "c", "d", "first"]
    assert [line.split()[0] for line in lines if line.startswith("w")] == [f"w{i}" for i in range(8)]
    assert lines[-2] == ("... and 7 more cases that are wrong: w8, w9, w10, w11, w12, w13, ...; say --verbose, or"
                         " --case")
    assert lines[-1] == "0 of 15 cases right, 0 not handed in"
    assert len(report.table(verbose=True).splitlines()) == 15 * 6 + 1


def test_what_is_not_ok():
    """Wrong against expectation, right against it, a note, nothing compared; and with `complete` what is missing."""
    ok = lambda rows, expected=False, **more: Report([case("x", rows, expected_to_fail=expected)], **more).ok
    assert ok(RIGHT) and ok(WRONG, True) and ok(RIGHT[:1], complete=True)
    assert not (ok(WRONG) or ok(RIGHT, True) or ok(RIGHT, notes=["?"]) or ok(NONE) or ok(RIGHT, complete=True))


def test_json_and_junit_say_the_same():
    cases = [case("r", RIGHT), case("w", WRONG, diagnosis=named("bias")), case("n", NONE),
             case("e", WRONG, expected_to_fail=True), case("u", RIGHT, expected_to_fail=True)]
    report = Report(cases, notes=["a <file> is damaged"])
    found = json.loads(report.to_json())
    assert (found["ok"], found["notes"], found["named"]) == (False, report.notes, {"bias": ["w"]})
    assert [(c["id"], c["level"], c["first"], c["expected_to_fail"]) for c in found["cases"]] == [
        ("r", "op", None, False), ("w", "op", "b", False), ("n", "op", None, False), ("e", "op", "b", True),
        ("u", "op", None, True)]
    assert [row["error"] for row in found["cases"][1]["tensors"]] == list(WRONG)
    suite = ElementTree.fromstring(report.to_junit().encode())
    assert [suite.get(name) for name in ("tests", "failures", "skipped")] == ["6", "3", "1"]
    failed = {test.get("name"): test.find("failure").get("message") for test in suite if test.find("failure") is not None}
    assert failed == {"w": f"first to depart: b. {cases[1].diagnosis}", "u": cases[4].verdict,
                      "handed in": "a <file> is damaged"}
    assert [test.get("name") for test in suite if test.find("skipped") is not None] == ["n"]


def test_some_of_many():
    assert some(["a", "b"], 2) == "a, b" and some(["a", "b", "c"], 2) == "a, b, ..."


# The table of all mistakes

def line(mistake, *caught):
    """caught: for each case, what is named and all that fit"""
    return Line(mistake, {f"case{i}": (f"t{i}", name, fits) for i, (name, fits) in enumerate(caught)})


def test_a_line_says_where_a_mistake_is_caught_and_what_it_is_called():
    right, other, open_ = ("m", ["m"]), ("n", ["n"]), (None, ["m", "n"])
    assert line("m", right, right, right).at == "case0: t0; case1: t1; case2: t2"
    assert line("m", right, right, right, right, right).at == "case0: t0; case1: t1; case2: t2; 2 more"
    assert [line("m", *caught).verdict for caught in ((), (right, open_), (open_,), ((None, []),), (right, other, other))] == [
        "MISSED", "named", "m; or n", "not named", "WRONGLY NAMED in case1, case2"]
    assert line("m", ("at most 3", ["m", "n"])).named                # a range in which its value is


def test_nine_in_ten_must_be_named_in_every_kind_of_port():
    right, open_ = ("m", ["m"]), (None, ["m", "n"])
    lines = lambda n: {f"m{i}": line("m", right if i < n else open_) for i in range(10)}
    assert Score({"float64": lines(9), "float32": lines(10)}).ok and not Score({"float64": lines(10), "float32": lines(8)}).ok
    assert Score({"float64": lines(9) | {"x": line("m", ("n", ["n"]))}, "float32": {"x": line("m")}}).summary() == (
        "float64: 11 of 11 mistakes caught, 9 named, 1 named wrongly\n"
        "float32: 0 of 1 mistakes caught, 0 named, 0 named wrongly")
    assert Score({"a": {"x": line("m", right)}, "b": {}}).rows() == [("x", "case0: t0", "named", "")]
