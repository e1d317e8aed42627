"""The errors of the Python classes: each is the builtin that one would catch, and carries the Win32 code."""

import builtins
import copy
import errno
import functools
import pickle
import re
from collections.abc import Callable

import pytest

import namedmap
from child import Spawn
from namedmap import errors, win32
from namedmap.errors import (
    AccessDeniedError,
    BadValueError,
    ClosedError,
    Error,
    ExistsError,
    LimitError,
    NotFoundError,
    NotOwnerError,
    PageError,
    WrongKindError,
)
from test_primitives import PRIMITIVES, Class, each_class
from test_primitives import tidy as tidy

NAME = "errors"
#: Win32 code, class, builtin, errno.
TREE = (
    (win32.ERROR_FILE_NOT_FOUND, NotFoundError, FileNotFoundError, errno.ENOENT),
    (win32.ERROR_ALREADY_EXISTS, ExistsError, FileExistsError, errno.EEXIST),
    (win32.ERROR_ACCESS_DENIED, AccessDeniedError, PermissionError, errno.EACCES),
    (win32.ERROR_NOT_OWNER, NotOwnerError, RuntimeError, errno.EPERM),
    (win32.ERROR_TOO_MANY_POSTS, LimitError, ValueError, errno.EOVERFLOW),
    (win32.ERROR_INVALID_HANDLE, ClosedError, ValueError, errno.EBADF),
    (win32.ERROR_SWAPERROR, PageError, OSError, errno.EFAULT),
    (win32.ERROR_INVALID_PARAMETER, BadValueError, ValueError, errno.EINVAL),
    (win32.ERROR_INVALID_NAME, BadValueError, ValueError, errno.EINVAL),
)
each_error = pytest.mark.parametrize(
    ("code", "cls", "builtin", "number"), TREE, ids=lambda value: getattr(value, "__name__", str(value))
)


def error_of(call: Callable[[], object]) -> Error:
    """The error that a call must raise."""
    with pytest.raises(Error) as caught:
        call()
    return caught.value


class TestTree:
    @each_error
    def test_each_error_is_a_builtin(self, code: int, cls: type[Error], builtin: type[Exception], number: int) -> None:
        """An `except` for the builtin, for Error and for OSError catches it."""
        found = errors.of(code, "what was asked")
        assert type(found) is cls
        assert isinstance(found, builtin)
        assert isinstance(found, OSError)
        assert (found.winerror, found.errno) == (code, number)
        assert type(found.winerror) is int
        assert str(found) == f"what was asked [WinError {int(code)}]"

    @each_error
    def test_pickles(self, code: int, cls: type[Error], builtin: type[Exception], number: int) -> None:
        """As executors and queues do with it: class, codes and message come back; copies too."""
        found = errors.of(code, "what was asked")
        again = [pickle.loads(pickle.dumps(found, each)) for each in range(pickle.HIGHEST_PROTOCOL + 1)]
        for other in (*again, copy.copy(found), copy.deepcopy(found)):
            assert type(other) is cls
            assert isinstance(other, builtin)
            assert (other.winerror, other.errno, str(other)) == (code, number, str(found))

    def test_other_codes_are_an_error(self) -> None:
        """A code that has no class of its own is a plain Error."""
        found = errors.of(587, "too deep")
        assert type(found) is Error
        assert (found.winerror, found.errno) == (587, errno.EIO)

    def test_exports(self) -> None:
        """The package exports the whole tree, and everything that it says it exports."""
        tree = {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Error)}
        assert {cls.__name__ for cls in tree} <= set(namedmap.__all__)
        assert sorted(set(namedmap.__all__)) == sorted(namedmap.__all__)
        for name in namedmap.__all__:
            assert hasattr(namedmap, name)
            assert not hasattr(builtins, name), f"{name} would hide a builtin"

    def test_the_docstring_draws_the_tree(self) -> None:
        """Every class stands in the drawing, with its builtin."""
        drawn = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Error)]
        assert len(drawn) > 10
        for cls in drawn[1:]:
            builtin = (*cls.__bases__, OSError)[1]
            assert re.search(rf"^ +{cls.__name__} +{builtin.__name__}\b", str(errors.__doc__), re.MULTILINE)


class TestRaised:
    @each_class
    def test_open_without_an_object(self, cls: Class) -> None:
        found = error_of(lambda: cls.open(NAME))
        assert isinstance(found, FileNotFoundError)
        assert (found.winerror, found.errno) == (win32.ERROR_FILE_NOT_FOUND, errno.ENOENT)
        assert NAME in str(found)
        assert cls.__name__.lower() in str(found)

    @each_class
    def test_create_of_an_existing_one(self, cls: Class) -> None:
        """It says what to do instead, and keeps no handle."""
        first = cls.create(NAME)
        found = error_of(lambda: cls.create(NAME))
        assert isinstance(found, FileExistsError)
        assert (found.winerror, found.errno) == (win32.ERROR_ALREADY_EXISTS, errno.EEXIST)
        assert "open_or_create" in str(found)
        first.close()
        assert isinstance(error_of(lambda: cls.open(NAME)), FileNotFoundError)

    @each_class
    def test_open_without_a_name(self, cls: Class) -> None:
        assert type(error_of(lambda: cls.open(""))) is BadValueError

    def test_a_handle_that_was_closed_underneath(self) -> None:
        """By its number, as another library might: the object's methods say so."""
        held = namedmap.Event()
        win32.CloseHandle(held.handle)
        for call in (held.set, held.clear, held.wait, lambda: namedmap.wait_any([held])):
            assert type(error_of(call)) is ClosedError
        other = namedmap.Event(NAME)
        assert other.handle == held.handle, "the number was given to another"
        held.close()
        other.set()
        other.close()

    @pytest.mark.parametrize("other", PRIMITIVES)
    @each_class
    def test_the_name_of_another_kind(self, cls: Class, other: Class) -> None:
        """By every verb; never FileExistsError, because open would not help."""
        if cls is other:
            return
        held = other.create(NAME)
        for verb in (cls, cls.create, cls.open, cls.open_or_create):
            found = error_of(functools.partial(verb, NAME))
            assert type(found) is WrongKindError
            assert isinstance(found, ValueError)
            assert found.winerror == win32.ERROR_INVALID_HANDLE
            assert other.__name__.lower() in str(found)
        held.close()

    @each_class
    def test_the_name_of_a_section(self, cls: Class) -> None:
        """And the other way round."""
        section = win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE, 0, 4096, NAME)
        assert section
        found = error_of(lambda: cls(NAME))
        assert isinstance(found, WrongKindError)
        assert "section" in str(found)
        assert win32.CloseHandle(section)
        with_name = cls(NAME)
        assert win32.CreateFileMapping(-1, None, win32.PAGE_READWRITE, 0, 4096, NAME) is None
        assert win32.GetLastError() == win32.ERROR_INVALID_HANDLE
        with_name.close()

    def test_release_by_somebody_else(self) -> None:
        """Of a mutex that nobody owns, too."""
        found = error_of(namedmap.Mutex().release)
        assert isinstance(found, RuntimeError)
        assert found.winerror == win32.ERROR_NOT_OWNER

    def test_above_the_maximum(self) -> None:
        """Nothing is released then."""
        semaphore = namedmap.Semaphore(None, 2, 3)
        for count in (2, 2**31 - 1, 2**31, 2**32, 2**32 + 1, 10**30):
            found = error_of(functools.partial(semaphore.release, count))
            assert isinstance(found, ValueError)
            assert found.winerror == win32.ERROR_TOO_MANY_POSTS
        assert semaphore.value == 2

    @pytest.mark.parametrize(
        ("value", "maximum"),
        [(-1, None), (3, 2), (0, 0), (1, -1), (0, 2**31), (2**31, None), (2**32, None), (1, 2**32 + 5), (-(2**40), 1)],
    )
    def test_counts_that_cannot_be(self, value: int, maximum: int | None) -> None:
        """They are refused, never cut to 32 bits."""
        for verb in (namedmap.Semaphore, namedmap.Semaphore.create, namedmap.Semaphore.open_or_create):
            found = error_of(functools.partial(verb, None, value, maximum))
            assert isinstance(found, ValueError)
            assert found.winerror == win32.ERROR_INVALID_PARAMETER

    @pytest.mark.parametrize("name", ["a\\b", "Global\\", "Local\\", "a\0b"])
    @each_class
    def test_names_that_cannot_be(self, cls: Class, name: str) -> None:
        for verb in (cls, cls.create, cls.open, cls.open_or_create):
            assert isinstance(error_of(functools.partial(verb, name)), ValueError)

    def test_access_denied(self, spawn: Spawn, second_user: int) -> None:
        """The object of another user, who grants nothing."""
        name = "Global\\errors"
        held = namedmap.Mutex.create(name)
        child = spawn(uid=second_user)
        child.run(
            f"""
            import namedmap
            for verb in namedmap.Mutex, namedmap.Mutex.open:
                try:
                    verb({name!r})
                except PermissionError as error:
                    assert isinstance(error, namedmap.AccessDeniedError), error
                    assert error.winerror == win32.ERROR_ACCESS_DENIED, error
                else:
                    raise AssertionError("it was granted")
            """
        )
        held.close()

    def test_no_inner_errors_are_shown(self) -> None:
        """A traceback tells of the error only, not of what the object manager had raised."""
        semaphore = namedmap.Semaphore(None, 1, 1)
        for call in (lambda: namedmap.Event.open(NAME), namedmap.Mutex().release, semaphore.release):
            found = error_of(call)
            assert found.__cause__ is None
            assert found.__suppress_context__ or found.__context__ is None
