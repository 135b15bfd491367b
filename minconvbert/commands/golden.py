"""`python -m minconvbert golden make | check | score`."""

import argparse
from pathlib import Path

from ..files import check_ordinary, write_atomic


def main(argv):
    from ..golden.cases import LEVELS
    from ..golden.diagnosis import PRECISIONS

    parser = argparse.ArgumentParser(prog="python -m minconvbert golden",
                                     description="Make golden values for ports of ConvBERT, and check ports.")
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("make", help="write the pack")
    make.add_argument("folder", metavar="DIR")
    check = commands.add_parser("check", help="compare a port with the pack, and name its mistakes")
    check.add_argument("port", metavar="PORT", help="a safetensors or npz file, or a folder of these or of npy files")
    check.add_argument("--level", action="append", choices=LEVELS, help="check only this level; may be repeated")
    check.add_argument("--case", action="append", metavar="ID", help="check only this case; may be repeated")
    check.add_argument("--expect-fail", metavar="FILE",
                       help="a file with one case on each line that is known to fail; # begins a comment")
    check.add_argument("--precision", choices=PRECISIONS, default="float32", help="the precision of the port")
    check.add_argument("--complete", action="store_true", help="count missing tensors as wrong")
    check.add_argument("--pack", metavar="DIR", help="use this pack instead of the package's")
    check.add_argument("--json", metavar="FILE")
    check.add_argument("--junit", metavar="FILE")
    check.add_argument("--verbose", action="store_true", help="print every tensor of every case")
    score = commands.add_parser("score", help="plant every mistake, and report whether it is caught and named")
    score.add_argument("--write", metavar="FILE", help="also write the table to this file")
    args = parser.parse_args(argv)

    if args.command == "make":
        from ..golden.pack import make as make_pack
        files = make_pack(args.folder)
        size = sum(file.stat().st_size for file in files)
        print(f"{len(files)} files, {size / 1e6:.1f} MB, in {args.folder}")
        return 0
    if args.command == "score":
        from ..golden.scoring import score as score_all
        result = score_all()
        print(result)
        if args.write:
            write_atomic(args.write, result.markdown())
        return 0 if result.ok else 1

    from ..golden.checker import check as check_port
    expected = ()
    if args.expect_fail:
        check_ordinary(args.expect_fail)
        lines = Path(args.expect_fail).read_text(encoding="utf-8").splitlines()
        expected = [id for line in lines if (id := line.partition("#")[0].strip())]
    report = check_port(args.port, args.level, args.case, args.pack, args.precision, expected, args.complete)
    print(report.table(args.verbose))
    for path, text in ((args.json, report.to_json), (args.junit, report.to_junit)):
        if path:
            write_atomic(path, text())
    return 0 if report.ok else 1
