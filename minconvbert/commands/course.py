"""`python -m minconvbert course list | stub | solution | grade | export | sheet`: exercises that check themselves."""

import argparse
import csv
import json
from pathlib import Path

from ..course.assignment import KINDS, write_notebook
from ..course.catalog import catalog, table
from ..course.check import Verdict
from ..course.exercises import reference
from ..course.grade import grade
from ..course.handout import imports, solution, stub
from ..course.sheet import save
from ..files import atomic_path


def main(argv):
    args = _parser().parse_args(argv)
    for name in getattr(args, "exercises", None) or ():
        reference(name)
    return args.run(args) or 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m minconvbert course", description="Exercises that check themselves.")
    commands = parser.add_subparsers(dest="command", required=True)

    command = commands.add_parser("list", help="list the exercises, with notebook, difficulty, minutes and needs")
    command.add_argument("--notebook", metavar="NN", help="only those of one notebook, for example 04")
    command.add_argument("--names", action="store_true", help="print only the names")
    command.set_defaults(run=_list)

    command = commands.add_parser("stub", help="print functions to fill in, or write them as a notebook")
    command.add_argument("exercises", nargs="+", metavar="EXERCISE")
    command.add_argument("--skeleton", action="store_true", help="include the left side of every line")
    command.add_argument("--notebook", metavar="FILE", help="write a notebook that checks itself")
    command.add_argument("--seed", default="your name", help="what the notebook draws its numbers from")
    command.set_defaults(run=_stub)

    command = commands.add_parser("solution", help="print the package's source")
    command.add_argument("exercises", nargs="+", metavar="EXERCISE")
    command.set_defaults(run=lambda args: _print_file(args.exercises, solution))

    command = commands.add_parser("grade", help="judge the functions in files, each function in its own process")
    command.add_argument("files", nargs="+", metavar="FILE", help=".py files or notebooks")
    command.add_argument("--seed", default="0", help="what the numbers are drawn from (default: 0)")
    command.add_argument("--seed-by-file", action="store_true", help="draw each file's numbers from its name")
    command.add_argument("--exercises", nargs="+", metavar="EXERCISE",
                         help="the exercises that count (default: all in the file)")
    command.add_argument("--limit", type=float, default=10.0, metavar="SECONDS",
                         help="time limit for each exercise (default: 10)")
    command.add_argument("--points", type=float, default=1.0, metavar="N",
                         help="points for each exercise; one that is partly right gets a share of them (default: 1)")
    command.add_argument("--json", action="store_true", help="print JSON: one object, or a list for several files")
    command.add_argument("--csv", metavar="FILE", help="write a line for each file and exercise")
    command.set_defaults(run=_grade)

    command = commands.add_parser("export", help="write an assignment for nbgrader or Otter")
    command.add_argument("kind", choices=KINDS[1:])
    command.add_argument("exercises", nargs="+", metavar="EXERCISE")
    command.add_argument("--output", required=True, metavar="FILE", help="the notebook to write")
    command.add_argument("--points", type=float, default=10, metavar="N", help="points for each exercise (default: 10)")
    command.set_defaults(run=lambda args: write_notebook(
        args.output, args.exercises, kind=args.kind, points=args.points))

    command = commands.add_parser("sheet", help="draw letters, formulas and backward rules on one page")
    command.add_argument("file", help="NAME.svg or NAME.pdf")
    command.set_defaults(run=lambda args: save(args.file))
    return parser


def _list(args):
    entries = [e for e in catalog() if args.notebook in (None, e.notebook)]
    if not entries:
        raise ValueError(f"--notebook must be one that has exercises, but is {args.notebook!r};"
                         f" those are {', '.join(dict.fromkeys(e.notebook for e in catalog()))}")
    print("\n".join(e.exercise for e in entries) if args.names else table(entries))


def _stub(args):
    if args.notebook:
        write_notebook(args.notebook, args.exercises, seed=args.seed, skeleton=args.skeleton)
        return
    _print_file(args.exercises, lambda name: stub(name, args.skeleton))


def _print_file(exercises, text_of):
    lines = dict.fromkeys(line for name in exercises for line in imports(name))
    print("\n".join(lines), *map(text_of, exercises), sep="\n\n\n")


def _grade(args):
    if not args.limit > 0:
        raise ValueError(f"--limit must be a positive number of seconds, but is {args.limit:g}")
    if not args.points >= 0:
        raise ValueError(f"--points must be 0 or more, but is {args.points:g}")
    reports = [_report(file, args) for file in args.files]
    if args.csv:
        _write_csv(args.csv, reports)
    if args.json:
        print(json.dumps(reports if len(reports) > 1 else reports[0], indent=1))
    else:
        for report in reports:
            _print(report, args.points, len(reports) > 1)
    return 0 if all(report["passed"] == report["of"] and report["of"] for report in reports) else 1


def _report(file, args):
    seed = Path(file).stem if args.seed_by_file else args.seed
    try:
        return grade(file, seed, args.exercises, args.limit, args.points)
    except (ValueError, OSError) as error:
        if len(args.files) == 1:
            raise
        return dict(file=str(file), seed=str(seed), passed=0, of=len(args.exercises or ()), points=0.0,
                    points_of=args.points * len(args.exercises or ()), exercises=[], notes=[str(error)])


def _print(report, points, named):
    if named:
        print(f"== {report['file']}")
    for entry in report["exercises"]:
        print(Verdict(**{name: value for name, value in entry.items() if name != "points"}))
    for note in report["notes"]:
        print(f"note: {note}")
    print(f"{report['passed']} of {report['of']} right"
          + (f", {report['points']:g} of {report['points_of']:g} points" if points != 1 else ""))


def _write_csv(path, reports):
    with atomic_path(Path(path)) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("file", "seed", "exercise", "right", "points", "wrong", "line", "message"))
        for report in reports:
            for e in report["exercises"]:
                rows.writerow((report["file"], report["seed"], e["exercise"], int(e["passed"]), f"{e['points']:g}",
                               e["wrong"] or "", e["line"] or "", e["message"].splitlines()[0]))
            if not report["exercises"]:
                rows.writerow((report["file"], report["seed"], "", 0, "0", "", "", report["notes"][0]))
