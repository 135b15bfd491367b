"""`python -m minconvbert course list | stub | solution | grade`: exercises that check themselves."""

import argparse
import json

from ..course.check import Verdict
from ..course.exercises import EXERCISES, imports, solution, stub
from ..course.grade import grade


def main(argv):
    parser = argparse.ArgumentParser(
        prog="python -m minconvbert course", description="Exercises that check themselves.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the names of all exercises")
    for name, purpose in (("stub", "what to write, as the beginning of a file"), ("solution", "the package's source")):
        command = commands.add_parser(name, help=purpose)
        command.add_argument("exercises", nargs="+", metavar="EXERCISE")
        if name == "stub":
            command.add_argument("--skeleton", action="store_true", help="with the left side of every line")
    command = commands.add_parser("grade", help="judge the functions of a file, each in a process of its own")
    command.add_argument("file", help="a .py file or a notebook")
    command.add_argument("--seed", default="0", help="what the numbers are drawn from: the learner's name, say")
    command.add_argument("--exercises", nargs="+", metavar="EXERCISE",
                         help="those that count (default: all in the file)")
    command.add_argument("--limit", type=float, default=10.0, metavar="SECONDS", help="for each exercise (default: 10)")
    command.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(argv)

    if args.command == "list":
        print("\n".join(EXERCISES))
    elif args.command == "solution":
        print("\n\n\n".join(solution(name) for name in args.exercises))
    elif args.command == "stub":
        lines = dict.fromkeys(line for name in args.exercises for line in imports(name))
        print("\n".join(lines), *(stub(name, args.skeleton) for name in args.exercises), sep="\n\n\n")
    else:
        if not args.limit > 0:
            raise ValueError(f"--limit must be a positive number of seconds, but is {args.limit:g}")
        report = grade(args.file, args.seed, args.exercises, args.limit)
        if args.json:
            print(json.dumps(report, indent=1))
        else:
            for entry in report["exercises"]:
                print(Verdict(**entry))
            print(f"{report['passed']} of {report['of']} right")
        return 0 if report["passed"] == report["of"] else 1
    return 0
