"""Finalizers that may run after the interpreter has taken the modules down that they use."""

import functools
import sys
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

Held = TypeVar("Held")
Rest = ParamSpec("Rest")


def finalizer(method: Callable[Concatenate[Held, Rest], None]) -> Callable[Concatenate[Held, Rest], None]:
    """Make a __del__, or a callback of a weak reference, that the end of the interpreter cannot make fail.

    An object that the interpreter itself keeps (in builtins, sys, a context variable) is dropped when the globals of
    all modules have become None, and what a finalizer calls may fail anywhere below. By then nothing is left to be
    done: names go in `HandleTable.retire_all`, everything else with the process. The names that are used here are held
    by cells, which stay.
    """
    is_finalizing = sys.is_finalizing

    @functools.wraps(method)
    def finalize(held: Held, /, *arguments: Rest.args, **named: Rest.kwargs) -> None:
        try:
            method(held, *arguments, **named)
        except Exception:
            if not is_finalizing():
                raise

    return finalize
