"""`python -m minconvbert verify MODEL`: compare its hidden states with published ones."""

import argparse

from ..faces.pretrained import ANSWERS, TOLERANCE, verify


def main(argv):
    parser = argparse.ArgumentParser(prog="python -m minconvbert verify",
                                     description="Check a model against the answers published for it.")
    parser.add_argument("model", metavar="MODEL", help="a folder, a file or a name on the hub: YituTech/conv-bert-base")
    parser.add_argument("--answers", metavar="NAME", choices=ANSWERS, help="the model that MODEL is a copy of")
    options = parser.parse_args(argv)
    differences = verify(options.model, options.answers)
    for who, difference in differences:
        print(f"{'equal  ' if difference <= TOLERANCE else 'DIFFERS'}  by {difference:.1e}  {who}")
    return int(any(difference > TOLERANCE for _, difference in differences))
