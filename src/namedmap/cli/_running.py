"""Other programs: started, waited for, and told of the signals that were meant for them; as the platform does it."""

from namedmap._platform import native

if native:
    from namedmap.cli._console import hold, quoted, run
else:
    from namedmap.cli._signals import hold, quoted, run

__all__ = ["hold", "quoted", "run"]
