"""The border itself: it lets the contract through, and finds what breaks it."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from classes import checking
from classes.checking import Border, Violation
from classes.conftest import Second
from classes.implementations import Implementation
from namedmap import _contract as contract
from namedmap import access
from namedmap._failure import Failure
from namedmap.memory import mapping, view
from namedmap.synchronization import waits as synchronization_waits

WRITE = access.parse("write")


class Semaphore:
    """An object of a platform, which does what a test tells it."""

    more = "not in the protocol"

    def __init__(self, answer: Callable[..., Any] = lambda *_: 0) -> None:
        self.answer = answer

    def take(self, owner: object) -> Any:
        return self.answer(owner)

    def add(self, number: int) -> Any:
        return self.answer(number)

    def query(self) -> Any:
        return self.answer()


class Handle:
    """A handle to one."""

    def __init__(self, held: object) -> None:
        self.value, self.object = 4, held

    def close(self) -> None:
        """Nothing to do."""


class Synchronization:
    """The operations that create and open semaphores."""

    def __init__(self, made: object) -> None:
        self.made = made

    def create_semaphore(self, name: Any, value: int, maximum: int, **more: Any) -> Any:
        return self.made

    def open_semaphore(self, name: str) -> Any:
        return self.made


@pytest.fixture(autouse=True)
def expected(contract_kept: Path | None) -> Iterator[None]:
    """Violations are what these tests are about."""
    yield
    if contract_kept is not None:
        contract_kept.write_text("", "utf-8")


def semaphore(answer: Callable[..., Any] = lambda *_: 0) -> Any:
    return Border(Semaphore(answer), contract.Semaphore)


def platform(made: object) -> Any:
    return Border(Synchronization(made), contract.Synchronization)


def had(module: object, name: str) -> Any:
    """The operations that a module of the package has from the platform."""
    return vars(module)[name]


def raiser(error: BaseException) -> Callable[..., Any]:
    def answer(*_: object) -> Any:
        raise error

    return answer


class TestLetsThrough:
    def test_what_the_contract_says(self) -> None:
        """Results of the declared kinds; handles and objects behind borders of their own."""
        made = platform((Handle(Semaphore(lambda *_: (1, 2))), True))
        handle, created = made.create_semaphore(None, 1, 2, permissions=contract.Permissions(0o600))
        assert created is True
        assert (type(handle), handle.value, handle.object.query()) == (Border, 4, (1, 2))
        assert handle.close() is None

    def test_a_failure(self) -> None:
        """Failure is what an operation raises."""
        with pytest.raises(Failure):
            semaphore(raiser(Failure(5, "no"))).add(1)

    def test_a_type_error_for_a_wrong_kind(self) -> None:
        with pytest.raises(TypeError):
            semaphore(raiser(TypeError("a number, please"))).add("1")

    @pytest.mark.parametrize("error", [OSError("of the handler"), TypeError("of the handler"), KeyboardInterrupt()])
    def test_what_a_signal_handler_raises(self, error: BaseException) -> None:
        before = signal.signal(signal.SIGTERM, raiser(error))
        try:
            with pytest.raises(type(error)):
                semaphore(lambda *_: signal.raise_signal(signal.SIGTERM)).add(1)
        finally:
            signal.signal(signal.SIGTERM, before)


class TestFinds:
    @pytest.mark.parametrize("name", ["more", "answer", "_kernel", "release"])
    def test_what_no_protocol_names(self, name: str) -> None:
        """Also if the object has it."""
        with pytest.raises(Violation, match=f"Semaphore names no '{name}'"):
            getattr(semaphore(), name)

    def test_what_is_stored(self) -> None:
        with pytest.raises(Violation, match="is stored into"):
            semaphore().count = 5

    @pytest.mark.parametrize("number", ["1", None, 1.5, True, b"1"])
    def test_a_wrong_argument_that_is_accepted(self, number: object) -> None:
        with pytest.raises(Violation, match=r"Semaphore\.add accepts number="):
            semaphore().add(number)

    def test_wrong_permissions(self) -> None:
        """The inside of a tuple of the contract counts too."""
        made = platform((Handle(Semaphore()), True))
        for wrong in (0o600, (None, None, None), contract.Permissions(0o600, 1.5), contract.Permissions("rw")):  # type: ignore[arg-type]
            with pytest.raises(Violation, match="accepts permissions="):
                made.create_semaphore(None, 1, 2, permissions=wrong)

    def test_arguments_that_the_protocol_does_not_take(self) -> None:
        """Too many, too few, by a name that is not there, by position where a name is asked for."""
        made = platform((Handle(Semaphore()), True))
        for arguments, named in (
            ((None, 1), {}),
            ((None, 1, 2, contract.Permissions()), {}),
            ((None, 1, 2), {"security": None}),
        ):
            with pytest.raises(Violation, match="does not take"):
                made.create_semaphore(*arguments, **named)

    @pytest.mark.parametrize("result", [None, "0", (0,), [0, 1], (0, 1, 2), (0, "1"), (True, 1)])
    def test_a_wrong_result(self, result: object) -> None:
        with pytest.raises(Violation, match=r"Semaphore\.query returns"):
            semaphore(lambda: result).query()

    @pytest.mark.parametrize(
        "made",
        [None, 4, Handle(Semaphore()), (Handle(Semaphore()), 1), (object(), True), (Semaphore(), True)],
        ids=["None", "a number", "no pair", "no bool", "no handle", "another thing"],
    )
    def test_a_wrong_handle(self, made: object) -> None:
        with pytest.raises(Violation, match="create_semaphore returns"):
            platform(made).create_semaphore(None, 1, 2)

    def test_a_handle_to_another_thing(self) -> None:
        handle, _ = platform((Handle(object()), True)).create_semaphore(None, 1, 2)
        with pytest.raises(Violation, match=r"object returns .* lacks take, add, query"):
            assert handle.object

    @pytest.mark.parametrize("error", [OSError(5, "x"), ValueError(), KeyError(), TypeError(), StopIteration()])
    def test_a_foreign_exception(self, error: Exception) -> None:
        """A TypeError too, where nothing was of a wrong kind."""
        with pytest.raises(Violation, match="raises"):
            semaphore(raiser(error)).add(1)

    def test_a_handle_that_is_not_the_platforms(self, implementation: Implementation) -> None:
        """One that did not come through the border."""
        with checking.checked() if not implementation.checked else contextlib.nullcontext():
            waits = had(synchronization_waits, "platform")
            with pytest.raises(Violation, match=r"wait_longer raises .* for handle="):
                waits.wait_longer(Handle(Semaphore()), waits.thread.owner, 0)

    def test_what_only_a_file_tells(self, implementation: Implementation, contract_kept: Path | None) -> None:
        """A violation that somebody catches is in the report, which fails the test; of second processes too."""
        if contract_kept is None:
            pytest.skip("reports are for checked implementations")
        with contextlib.suppress(Violation):
            semaphore().answer()
        assert contract_kept.read_text("utf-8") == "Semaphore names no 'answer'\n"

    def test_in_a_second_process(self, second: Second, contract_kept: Path | None) -> None:
        """It is checked as this one is, and reports to the same file."""
        child = second()
        child.run("from namedmap.memory import mapping")
        assert child.value("type(mapping.sections).__name__") == type(had(mapping, "sections")).__name__
        if contract_kept is None:
            return
        child.run("try: mapping.sections.sweep()\nexcept BaseException: pass")
        assert contract_kept.read_text("utf-8") == "Sections names no 'sweep'\n"


class TestPlace:
    def test_the_classes_stand_behind_it(self, implementation: Implementation) -> None:
        """Each module that has something of the platform has it behind the border, and nothing afterwards."""
        assert isinstance(had(mapping, "sections"), Border) == implementation.checked
        assert isinstance(had(view, "memory"), Border) == implementation.checked
        if not implementation.checked:
            with checking.checked():
                from namedmap.compat import mmap

                assert isinstance(had(mapping, "sections"), Border)
                assert isinstance(had(mmap, "sections"), Border)
            assert not isinstance(had(mapping, "sections"), Border)
            assert not isinstance(had(mmap, "sections"), Border)

    def test_it_is_derived_from_the_protocols(self) -> None:
        """Every group of `_platform`, every member of every protocol, inherited ones once."""
        assert set(checking.groups()) == {"sections", "files", "memory", "synchronization", "waits"}
        assert {"Handle.close", "SectionHandle.map", "WaitableHandle.object", "Waits.thread"} <= checking.operations()
        assert not {"SectionHandle.close", "MutexHandle.object"} & checking.operations()
