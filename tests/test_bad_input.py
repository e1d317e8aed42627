"""No argument makes a function raise anything but TypeError, or the interpreter die."""

from child import program


def test_bad_arguments_are_failed_calls_or_type_errors() -> None:
    """Thousands of calls with what no parameter can take: each fails and says why, in a process that lives on."""
    said = program("bad_input", flags=("-X", "faulthandler"))
    assert said.splitlines()[-1].endswith(" calls, 0 complaints")
