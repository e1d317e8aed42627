"""A program that a Python runs in the place of one that another program has started: see `namedmap.compat._children`.

The first argument is the directory that has the package, which need not be on the path of this Python. This file is
alone in its directory, so that what stands in front of the path hides no module.
"""

import sys


def _main() -> None:
    root = sys.argv.pop(1)
    sys.path.append(root)
    try:
        from namedmap.compat import run
    finally:
        sys.path.remove(root)
    run.main(sys.argv[1:])


if __name__ == "__main__":
    _main()
