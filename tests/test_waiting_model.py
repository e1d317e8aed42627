"""Random programs of threads in several processes over mutexes, semaphores and events, against a model of the three.

The model knows nothing of locks, words or futexes. It keeps per object who owns it or how often it is there, per
process its handles and their access, and who waits for what. After each step results and last errors must be the
model's; all that waits and could go on must have gone on, and nobody else; and each object must say of itself what the
model says. At most one actor waits for an object at a time: which of several comes first is nowhere promised.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from calls import basic
from child import Spawn
from crews.actors import BLOCKED, CANCELLED, UNTOUCHED, Actor, Answer, Process, Stage
from namedmap import win32

MUTEX, SEMAPHORE, AUTO, MANUAL = "mutex", "semaphore", "auto", "manual"
EVENTS = (AUTO, MANUAL)
CLASS = {MUTEX: "Mutex", SEMAPHORE: "Semaphore", AUTO: "Event", MANUAL: "Event"}
NAMES = ("model.a", "model.b", "Global\\model.a", "Global\\model.b", "model.c")
QUERY, MODIFY, SYNCHRONIZE = 1, 2, int(win32.SYNCHRONIZE)
ALL = {MUTEX: 0x1F0001, SEMAPHORE: 0x1F0003, AUTO: 0x1F0003, MANUAL: 0x1F0003}
#: Access asked for, and what a handle to a mutex, and to another object, has then.
ASKED = {
    SYNCHRONIZE: (SYNCHRONIZE, SYNCHRONIZE),
    QUERY: (QUERY, QUERY),
    SYNCHRONIZE | QUERY: (SYNCHRONIZE | QUERY, SYNCHRONIZE | QUERY),
    0x80000000: (0x20001, 0x20001),
    0x40000000: (0x20000, 0x20002),
    0x20000000: (0x120000, 0x120000),
    0x10000000: (0x1F0001, 0x1F0003),
    0x02000000: (0x1F0001, 0x1F0003),
}
TIMEOUT, FAILED, INFINITE = int(win32.WAIT_TIMEOUT), int(win32.WAIT_FAILED), int(win32.INFINITE)
ABANDONED = int(win32.WAIT_ABANDONED)
INVALID_HANDLE, DENIED, INVALID_PARAMETER = 6, 5, 87
STATUS_DENIED, STATUS_HANDLE, STATUS_TYPE = 0xC0000022, 0xC0000008, 0xC0000024
PICK = st.integers(0, 11)
KINDS = st.sampled_from((MUTEX, SEMAPHORE, AUTO, MANUAL))
SCALE = float(os.environ.get("NAMEDMAP_TEST_SCALE", "1"))


@dataclass(eq=False)
class Thing:
    """An object. `count`: of a semaphore, and 0 or 1 of an event."""

    kind: str
    name: str | None
    count: int = 0
    maximum: int = 1
    owner: Actor | None = None
    depth: int = 0
    abandoned: bool = False
    handles: int = 0

    def there(self, actor: Actor) -> bool:
        return self.owner in (None, actor) if self.kind == MUTEX else self.count > 0

    def take(self, actor: Actor) -> bool:
        """Whether it was abandoned."""
        if self.kind == MUTEX:
            abandoned, self.abandoned = self.abandoned, False
            self.owner, self.depth = actor, self.depth + 1
            return abandoned
        if self.kind != MANUAL:
            self.count -= 1
        return False

    def release(self) -> None:
        self.depth -= 1
        if not self.depth:
            self.owner = None

    def abandon(self) -> None:
        self.owner, self.depth, self.abandoned = None, 0, True

    def query(self, actor: Actor) -> tuple[int, ...]:
        if self.kind == MUTEX:
            return 1 - self.depth, self.owner is actor, self.abandoned
        if self.kind == SEMAPHORE:
            return self.count, self.maximum
        return self.kind == AUTO, self.count


@dataclass(eq=False)
class Waiting:
    """A wait that has not ended."""

    things: list[Thing]
    every: bool

    def outcomes(self, actor: Actor) -> dict[int, list[Thing]]:
        """The things that it may take now: index to things. Empty if nothing."""
        here = [thing.there(actor) for thing in self.things]
        if self.every:
            return {0: self.things} if all(here) else {}
        return {index: [thing] for index, thing in enumerate(self.things) if here[index]}


@dataclass
class Side:
    """The model's knowledge of a process."""

    process: Process
    handles: dict[int, tuple[Thing, int]] = field(default_factory=dict)


#: Outcomes that the random programs must have had, so that their agreement means something.
MUST_BE_SEEN = {
    "abandoned", "access denied", "already exists", "another kind", "any", "all", "duplicates", "end of an owner",
    "interrupted", "killed owner", "killed waiter", "missing", "no handle", "not owner", "overflow",
    "pulse to a waiter", "recursion", "resumed all", "resumed any", "resumed one", "timeout",
}  # fmt: skip


class Model(RuleBasedStateMachine):
    stage: ClassVar[Stage]
    seen: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.sides = [Side(Process(self.stage, number)) for number in range(3)]
        self.names: dict[str, Thing] = {}
        self.things: list[Thing] = []
        self.waits: dict[Actor, Waiting] = {}

    @initialize()
    def begin(self) -> None:
        """Something to begin with: an object of each kind, known to all processes."""
        for kind, name, state in zip((MUTEX, AUTO, SEMAPHORE, MANUAL), NAMES, (0, 0, 1, 1), strict=False):
            for side, access in zip(self.sides, (None, None, SYNCHRONIZE | QUERY), strict=True):
                self._create(side.process.actors[0], kind, name, state, access)
            self._create(self.sides[1].process.actors[1], kind, name, state, QUERY)

    def teardown(self) -> None:
        for actor in list(self.waits):
            if actor.process.number == 0:
                actor.process.cancel(actor)
        for side in self.sides:
            if side.process.number:
                side.process.kill()
            else:
                for value in side.handles:
                    side.process.actors[0].call("CloseHandle", value)
                side.process.dismiss()

    # -- picking -----------------------------------------------------------------------------------------------------

    def _free(self) -> list[Actor]:
        return [actor for side in self.sides for actor in side.process.actors if actor not in self.waits]

    def _actor(self, pick: int) -> Actor:
        free = self._free()
        return free[pick % len(free)]

    def _side(self, actor: Actor) -> Side:
        return self.sides[actor.process.number]

    def _missing_first(self, actor: Actor, values: list[int]) -> list[int]:
        return sorted(values, key=lambda value: self._thing(actor, value).there(actor))

    def _thing(self, actor: Actor, value: int) -> Thing:
        return self._side(actor).handles[value][0]

    def _handle(self, actor: Actor, pick: int, *kinds: str) -> int:
        """A handle of the actor's process, if possible to one of these kinds; or none at all."""
        handles = self._side(actor).handles
        fitting = [value for value in sorted(handles) if not kinds or handles[value][0].kind in kinds]
        values = fitting if pick < 11 and fitting else [*sorted(handles), 0x7FF0]
        return values[pick % len(values)]

    # -- names and handles -------------------------------------------------------------------------------------------

    @precondition(lambda self: self._free())
    @rule(
        pick=PICK,
        kind=KINDS,
        name=st.none() | st.sampled_from(NAMES),
        state=st.integers(0, 2),
        access=st.none() | st.sampled_from(sorted(ASKED)),
    )
    def create(self, pick: int, kind: str, name: str | None, state: int, access: int | None) -> None:
        self._create(self._actor(pick), kind, name, state, access)

    def _create(self, actor: Actor, kind: str, name: str | None, state: int, access: int | None) -> None:
        """`state`: the initial count; or owned, set; a semaphore's is for a maximum of 2."""
        answer = actor.call(*_creation(kind, name, state, access))
        known = self.names.get(name) if name else None
        if known is not None and CLASS[known.kind] != CLASS[kind]:
            assert answer == Answer(None, INVALID_HANDLE)
            self.seen["another kind"] += 1
            return
        assert answer.error == (win32.ERROR_ALREADY_EXISTS if known else 0)
        self.seen["already exists"] += known is not None
        if known is None:
            known = Thing(kind, name)
            if kind == SEMAPHORE:
                known.count, known.maximum = state, 2
            elif kind != MUTEX:
                known.count = int(state > 0)
            elif state:
                known.take(actor)
            if name:
                self.names[name] = known
            self.things.append(known)
        self._entered(actor, answer.result, known, ALL[kind] if access is None else ASKED[access][kind != MUTEX])

    def _entered(self, actor: Actor, value: Any, thing: Thing, access: int) -> None:
        handles = self._side(actor).handles
        assert value
        assert value not in handles
        handles[value] = (thing, access)
        thing.handles += 1
        if actor.process.number == 0:
            assert basic(value) == (access, thing.handles)

    @precondition(lambda self: self._free())
    @rule(pick=PICK, kind=KINDS, name=st.sampled_from(NAMES), access=st.sampled_from((0, *sorted(ASKED))))
    def open(self, pick: int, kind: str, name: str, access: int) -> None:
        actor = self._actor(pick)
        answer = actor.call(f"Open{CLASS[kind]}", access, False, name)
        known = self.names.get(name)
        if access == 0 or known is None or CLASS[known.kind] != CLASS[kind]:
            error = DENIED if access == 0 else INVALID_HANDLE if known else win32.ERROR_FILE_NOT_FOUND
            assert answer == Answer(None, error)
            self.seen["missing"] += error == win32.ERROR_FILE_NOT_FOUND
            return
        assert answer.error == UNTOUCHED
        self._entered(actor, answer.result, known, ASKED[access][kind != MUTEX])

    @precondition(lambda self: self._free())
    @rule(pick=PICK, which=PICK, access=st.sampled_from((SYNCHRONIZE, QUERY, SYNCHRONIZE | QUERY)))
    def duplicate(self, pick: int, which: int, access: int) -> None:
        actor = self._actor(pick)
        value = self._handle(actor, which)
        answer = actor.call("DuplicateHandle", value, access)
        entry = self._side(actor).handles.get(value)
        if entry is None:
            assert answer == Answer(False, INVALID_HANDLE, (0,))
        else:
            assert answer[:2] == (True, UNTOUCHED)
            self._entered(actor, answer.out[0], entry[0], access)

    @precondition(lambda self: self._free())
    @rule(pick=PICK, which=PICK)
    def close(self, pick: int, which: int) -> None:
        actor = self._actor(pick)
        value = self._handle(actor, which)
        answer = actor.call("CloseHandle", value)
        entry = self._side(actor).handles.pop(value, None)
        assert answer == (Answer(True, UNTOUCHED) if entry else Answer(False, INVALID_HANDLE))
        if entry is not None:
            self._closed(entry[0])

    def _closed(self, thing: Thing) -> None:
        thing.handles -= 1
        if not thing.handles:
            self.things.remove(thing)
            if thing.name:
                del self.names[thing.name]

    # -- waits -------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self._free())
    @rule(pick=PICK, which=PICK)
    def wait(self, pick: int, which: int) -> None:
        actor = self._actor(pick)
        value = self._handle(actor, which)
        self._judge(actor, actor.call("WaitForSingleObject", value, 0), [value], every=False)

    @precondition(lambda self: self._free())
    @rule(pick=PICK, which=PICK)
    def wait_for_a_mutex(self, pick: int, which: int) -> None:
        actor = self._actor(pick)
        value = self._handle(actor, which, MUTEX)
        self._judge(actor, actor.call("WaitForSingleObjectEx", value, 0, False), [value], every=False)

    @precondition(lambda self: self._free())
    @rule(pick=PICK, which=st.lists(PICK, max_size=4), every=st.booleans(), timeout=st.sampled_from((0, 0, 0, 1)))
    def wait_several(self, pick: int, which: list[int], every: bool, timeout: int) -> None:
        actor = self._actor(pick)
        values = [self._handle(actor, one) for one in which]
        actor.send("WaitForMultipleObjects", len(values), values, every, timeout)
        answer = actor.receive()
        if answer == BLOCKED and timeout:
            answer = actor.receive()
        self._judge(actor, answer, values, every=every)

    @precondition(lambda self: self._free())
    @rule(pick=PICK, which=PICK, number=st.integers(2, 3), every=st.booleans(), hopeful=st.booleans())
    def wait_for_different(self, pick: int, which: int, number: int, every: bool, hopeful: bool) -> None:
        actor = self._actor(pick)
        values = self._different(actor, which)
        values = (self._missing_first(actor, values)[::-1] if hopeful else values)[:number]
        self._judge(actor, actor.call("WaitForMultipleObjects", len(values), values, every, 0), values, every=every)

    def _judge(self, actor: Actor, answer: Answer, values: Sequence[int], *, every: bool) -> None:
        """Of a wait that does not last."""
        error = self._wait_error(actor, values, every)
        if error:
            assert answer == Answer(FAILED, error)
            self.seen[{DENIED: "access denied", INVALID_HANDLE: "no handle"}.get(error, "duplicates")] += 1
            return
        waiting = Waiting([self._side(actor).handles[value][0] for value in values], every)
        assert answer.error == UNTOUCHED
        outcomes = waiting.outcomes(actor)
        if not outcomes:
            assert answer.result == TIMEOUT
            self.seen["timeout"] += 1
        else:
            self.seen["all" if every else "any"] += len(values) > 1
            self._taken(actor, answer, {min(outcomes): outcomes[min(outcomes)]})

    def _wait_error(self, actor: Actor, values: Sequence[int], every: bool) -> int:
        handles = self._side(actor).handles
        if not values:
            return INVALID_PARAMETER
        for value in values:
            if value not in handles:
                return INVALID_HANDLE
            if not handles[value][1] & SYNCHRONIZE:
                return DENIED
        return INVALID_PARAMETER if every and len({handles[value][0] for value in values}) < len(values) else 0

    def _taken(self, actor: Actor, answer: Answer, outcomes: dict[int, list[Thing]]) -> None:
        """A wait has ended with one of these."""
        index = answer.result & ~ABANDONED
        assert index in outcomes, (answer, outcomes)
        abandoned = [thing.take(actor) for thing in outcomes[index]]
        assert answer == Answer(index + (ABANDONED if any(abandoned) else 0), UNTOUCHED)
        self.seen["abandoned"] += any(abandoned)
        self.seen["recursion"] += any(thing.depth > 1 for thing in outcomes[index])

    @precondition(lambda self: len(self._free()) > 1)
    @rule(pick=PICK, which=PICK)
    def begin_to_wait(self, pick: int, which: int) -> None:
        actor = self._actor(pick)
        missing = [value for value in self._different(actor, which) if not self._thing(actor, value).there(actor)]
        self._begin_to_wait(actor, [missing[0] if missing else self._handle(actor, which)], every=False)

    @precondition(lambda self: len(self._free()) > 1)
    @rule(pick=PICK, number=st.integers(2, 3), which=PICK)
    def begin_to_wait_for_any(self, pick: int, number: int, which: int) -> None:
        self._begin_to_wait_for_several(pick, number, which, every=False)

    @precondition(lambda self: len(self._free()) > 1)
    @rule(pick=PICK, number=st.integers(2, 3), which=PICK)
    def begin_to_wait_for_all(self, pick: int, number: int, which: int) -> None:
        self._begin_to_wait_for_several(pick, number, which, every=True)

    def _begin_to_wait_for_several(self, pick: int, number: int, which: int, *, every: bool) -> None:
        actor = self._actor(pick)
        values = self._missing_first(actor, self._different(actor, which))
        if values:
            self._begin_to_wait(actor, values[:number], every=every)

    def _different(self, actor: Actor, pick: int) -> list[int]:
        """Handles to different objects, which the actor may wait for."""
        handles = self._side(actor).handles
        found = {thing: value for value, (thing, access) in sorted(handles.items()) if access & SYNCHRONIZE}
        values = list(found.values())
        return values[pick % max(len(values), 1) :] + values[: pick % max(len(values), 1)]

    def _begin_to_wait(self, actor: Actor, values: list[int], *, every: bool) -> None:
        """A wait without end, for objects that nobody waits for; one handle: by the function for one."""
        handles = self._side(actor).handles
        things = [handles[value][0] for value in values if value in handles]
        if any(thing in wait.things for wait in self.waits.values() for thing in things):
            return
        every = every and len(values) > 1
        if len(values) == 1:
            actor.send("WaitForSingleObject", values[0], INFINITE)
        else:
            actor.send("WaitForMultipleObjects", len(values), values, every, INFINITE)
        answer = actor.receive()
        if answer != BLOCKED:
            self._judge(actor, answer, values, every=every)
            return
        assert not self._wait_error(actor, values, every)
        self.waits[actor] = Waiting(things, every)
        assert not self.waits[actor].outcomes(actor)

    @precondition(lambda self: self.waits and self._free())
    @rule(pick=PICK, which=PICK, event=st.sampled_from(("SetEvent", "PulseEvent")))
    def give(self, pick: int, which: int, event: str) -> None:
        """An object that somebody waits for is made to be there, by a process that can: one of several, or all."""
        actor, waiting = list(self.waits.items())[pick % len(self.waits)]
        missing = [thing for thing in waiting.things if not thing.there(actor)]
        for thing in missing if waiting.every else [missing[which % len(missing)]]:
            if actor in self.waits:
                self._give(thing, event)

    def _give(self, thing: Thing, event: str = "SetEvent") -> None:
        for actor in self._free():
            for value, (other, access) in self._side(actor).handles.items():
                if other is not thing:
                    continue
                if thing.kind == MUTEX and thing.owner is actor:
                    self._release_mutex(actor, value)
                elif thing.kind == SEMAPHORE and access & MODIFY:
                    self._release_semaphore(actor, value, 1)
                elif thing.kind in EVENTS and access & MODIFY:
                    self._change_event(actor, value, event)
                else:
                    continue
                return

    def _settle(self) -> None:
        """All who can go on do."""
        for actor, waiting in list(self.waits.items()):
            outcomes = waiting.outcomes(actor)
            if outcomes:
                answer = actor.receive()
                assert isinstance(answer, Answer)
                del self.waits[actor]
                self._taken(actor, answer, outcomes)
                kind = "all" if waiting.every else "any" if len(waiting.things) > 1 else "one"
                self.seen[f"resumed {kind}"] += 1

    @precondition(lambda self: self.waits)
    @rule(pick=PICK, really=st.sampled_from((True, False, False)))
    def interrupt(self, pick: int, really: bool) -> None:
        """A wait that an exception ends has taken nothing."""
        if not really:
            return
        actor = list(self.waits)[pick % len(self.waits)]
        assert actor.process.cancel(actor) == CANCELLED
        del self.waits[actor]
        self.seen["interrupted"] += 1

    # -- changes -----------------------------------------------------------------------------------------------------

    def _target(self, actor: Actor, value: int, kinds: Sequence[str], access: int) -> tuple[Thing | None, int]:
        """The object that a change is for, or the error."""
        thing, granted = self._side(actor).handles.get(value, (None, 0))
        if thing is None or thing.kind not in kinds:
            return None, INVALID_HANDLE
        return (None, DENIED) if access & ~granted else (thing, 0)

    @precondition(lambda self: self._free())
    @rule(pick=PICK, which=PICK)
    def release_mutex(self, pick: int, which: int) -> None:
        actor = self._actor(pick)
        self._release_mutex(actor, self._handle(actor, which, MUTEX))

    @precondition(lambda self: self._free() and any(thing.owner for thing in self.things))
    @rule(pick=PICK)
    def release_owned(self, pick: int) -> None:
        """A mutex that is owned is released, by its owner or by somebody else."""
        owned = [thing for thing in self.things if thing.owner is not None]
        able = [
            (actor, value)
            for actor in self._free()
            for value, (thing, _) in self._side(actor).handles.items()
            if thing in owned
        ]
        if able:
            self._release_mutex(*able[pick % len(able)])

    def _release_mutex(self, actor: Actor, value: int) -> None:
        answer = actor.call("ReleaseMutex", value)
        thing, error = self._target(actor, value, (MUTEX,), 0)
        if thing is not None and thing.owner is not actor:
            error = int(win32.ERROR_NOT_OWNER)
            self.seen["not owner"] += 1
        assert answer == (Answer(False, error) if error else Answer(True, UNTOUCHED))
        if thing is not None and not error:
            thing.release()
        self._settle()

    @precondition(lambda self: self._free())
    @rule(pick=PICK, which=PICK, number=st.sampled_from((1, 1, 1, 2, 3, 0, -1)))
    def release_semaphore(self, pick: int, which: int, number: int) -> None:
        actor = self._actor(pick)
        self._release_semaphore(actor, self._handle(actor, which, SEMAPHORE), number)

    def _release_semaphore(self, actor: Actor, value: int, number: int) -> None:
        answer = actor.call("ReleaseSemaphore", value, number)
        thing, error = self._target(actor, value, (SEMAPHORE,), MODIFY)
        if number <= 0:
            error = INVALID_PARAMETER
        elif thing is not None and thing.count + number > thing.maximum:
            error = error or int(win32.ERROR_TOO_MANY_POSTS)
            self.seen["overflow"] += 1
        if error or thing is None:
            assert answer == Answer(False, error, (-77,))
            return
        assert answer == Answer(True, UNTOUCHED, (thing.count,))
        thing.count += number
        self._settle()

    @precondition(lambda self: self._free())
    @rule(pick=PICK, which=PICK, name=st.sampled_from(("SetEvent", "PulseEvent", "ResetEvent")))
    def change_event(self, pick: int, which: int, name: str) -> None:
        actor = self._actor(pick)
        self._change_event(actor, self._handle(actor, which, *EVENTS), name)

    def _change_event(self, actor: Actor, value: int, name: str) -> None:
        held = self._side(actor).handles.get(value, (None, 0))[0]
        if name == "PulseEvent" and any(wait.every and held in wait.things for wait in self.waits.values()):
            # Whether a pulse reaches a wait for all is left to chance: such waits are not counted, they look by turns.
            return
        answer = actor.call(name, value)
        thing, error = self._target(actor, value, EVENTS, MODIFY)
        assert answer == (Answer(False, error) if error else Answer(True, UNTOUCHED))
        if thing is None:
            return
        thing.count = int(name != "ResetEvent")
        waiting = len(self.waits)
        self._settle()
        if name == "PulseEvent":
            thing.count = 0
            self.seen["pulse to a waiter"] += len(self.waits) < waiting

    # -- ends --------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self._free())
    @rule(pick=PICK, busy=st.booleans())
    def end_thread(self, pick: int, busy: bool) -> None:
        """Of a thread that owns a mutex, if there is one and it is `busy`."""
        owners = [thing.owner for thing in self.things if thing.owner is not None and thing.owner not in self.waits]
        actor = owners[pick % len(owners)] if busy and owners else self._actor(pick)
        actor.process.renew(actor)
        self.seen["end of an owner"] += self._abandoned(actor)
        self._settle()

    def _abandoned(self, *actors: Actor) -> bool:
        """Whether they owned something."""
        waited = [thing for waiting in self.waits.values() for thing in waiting.things]
        owned = {thing for thing in (*self.things, *waited) if thing.owner in actors}
        for thing in owned:
            thing.abandon()
        return bool(owned)

    @rule(number=st.integers(1, 2), busy=st.booleans())
    def kill_process(self, number: int, busy: bool) -> None:
        """One that waits or owns a mutex, if there is one and it is `busy`."""
        actors = {*self.waits, *(thing.owner for thing in self.things if thing.owner is not None)}
        numbers = {actor.process.number for actor in actors} - {0}
        number = number if number in numbers or not (busy and numbers) else min(numbers)
        side = self.sides[number]
        side.process.kill()
        for actor in side.process.actors:
            self.seen["killed waiter"] += self.waits.pop(actor, None) is not None
        for thing, _ in side.handles.values():
            self._closed(thing)
        self.seen["killed owner"] += self._abandoned(*side.process.actors)
        self.sides[number] = Side(Process(self.stage, number))
        self._settle()

    # -- what must hold after each step ------------------------------------------------------------------------------

    @invariant()
    def nobody_else_goes_on(self) -> None:
        for actor in self.waits:
            assert actor.silent()

    @invariant()
    def objects_agree(self) -> None:
        """Each object is asked once, by somebody who may."""
        asked: set[Thing] = set()
        for side in self.sides:
            free = [actor for actor in side.process.actors if actor not in self.waits]
            for value, (thing, access) in side.handles.items():
                if not free or thing in asked:
                    continue
                answer = free[0].call(f"NtQuery{CLASS[thing.kind].replace('Mutex', 'Mutant')}", value)
                if not access & QUERY:
                    assert answer.result == STATUS_DENIED
                    continue
                asked.add(thing)
                assert (answer.result, answer.out) == (0, thing.query(free[0]))
                if side.process.number == 0:
                    assert basic(value) == (access, thing.handles)


def _creation(kind: str, name: str | None, state: int, access: int | None) -> tuple[Any, ...]:
    """The call that makes such an object; with an access, by the function that takes one."""
    if kind == MUTEX:
        return (
            ("CreateMutex", None, state > 0, name)
            if access is None
            else ("CreateMutexEx", None, name, state > 0, access)
        )
    if kind == SEMAPHORE:
        counted = ("CreateSemaphore", None, state, 2, name)
        return counted if access is None else ("CreateSemaphoreEx", *counted[1:], 0, access)
    manual, signaled = kind == MANUAL, state > 0
    if access is None:
        return "CreateEvent", None, manual, signaled, name
    return "CreateEventEx", None, name, manual | signaled << 1, access


@pytest.fixture
def stage(spawn: Spawn, tmp_path: Path) -> Iterator[None]:
    Model.stage = Stage(spawn, str(tmp_path / "stage"))
    Model.seen.clear()
    yield
    Model.stage.close()


@pytest.mark.leaves_dead_files
@pytest.mark.usefixtures("stage")
def test_actors_agree_with_the_model() -> None:
    """Threads and processes that create, wait, change, end and are killed at random get what the model gives them."""
    programs = settings(
        max_examples=15,
        stateful_step_count=60,
        suppress_health_check=list(HealthCheck),
        database=None,
        print_blob=False,
    )
    # Which programs a seed stands for is hypothesis' own business: as many are tried as it takes to see everything.
    for batch in range(60):
        run_state_machine_as_test(seed(batch)(Model), settings=programs)
        if batch + 1 >= 2 * SCALE and all(Model.seen[thing] for thing in MUST_BE_SEEN):
            break
    assert sorted(thing for thing in MUST_BE_SEEN if not Model.seen[thing]) == []
