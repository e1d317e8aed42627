"""python -m namedmap run ..."""

import argparse
import sys

from namedmap.compat.run import main

if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        main(sys.argv[2:])
    else:
        parser = argparse.ArgumentParser(prog="python -m namedmap")
        commands = parser.add_subparsers(required=True, metavar="{run}")
        commands.add_parser("run", help="run a Python program that was written for Windows, unchanged")
        parser.parse_args()
