"""python -m namedmap: the same as the command `namedmap`."""

from namedmap.cli import main

if __name__ == "__main__":
    main()
