"""Whether answers are right: whether there is a course of events in which each of them is what RULES says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, TypeVar

from tests.stateful.client import Reply
from tests.stateful.commands import Asked, Command, Decided, allowed_by_put, bound, settled
from tests.stateful.happening import happens
from tests.stateful.world import World, seen

T = TypeVar("T")


class Request:
    """A command that was sent, and its answer."""

    def __init__(self, command: Command, reply: Reply) -> None:
        self.command = command
        self.reply = reply
        self._told = reply.status, reply.code
        self._body = reply.json
        self._seen = None if reply.code else seen(self._body)

    def told(self, status: int, code: str | None, world: World) -> bool:
        """Whether the answer is this one, given in this world."""
        if (status, code) != self._told:
            return False
        return self._fits(world) if self._seen is None else world.view() == self._seen

    def _fits(self, world: World) -> bool:
        """What a refusal says of the order."""
        match self.reply.code:
            case "unlawful-move":
                least, most = allowed_by_put(world)
                return self._body["orderStatus"] == world.status and least <= {*self._body["allowed"]} <= most
            case "not-payable" | "not-cancellable":
                return bool(self._body["orderStatus"] == world.status)
            case "refund-exceeds-captured":
                return bool(self._body["refundable"] == bound(world))
            case "stale-version":
                return bool(self._body["version"] == world.version)
        return True


class _Course(NamedTuple):
    """One course of events so far; of each request, in order: not looked at yet, what it asked, or how it ended."""

    world: World
    requests: tuple[Decided | None, ...]
    answered: tuple[bool, ...]


def courses(worlds: Iterable[World], requests: list[Request]) -> dict[World, tuple[Asked | None, ...]]:
    """The worlds in which it can have ended, each with what the requests are bound to. None: the answers are wrong.

    Requests that were under way together may have been served in any order, and answered at any moment from then on.
    """
    start = (None,) * len(requests), (False,) * len(requests)
    new = {_Course(world, *start) for world in worlds}
    found: set[_Course] = set()
    while new:
        found |= new
        new = {after for course in new for after in _after(course, requests)} - found
    return {c.world: tuple(d and d.asked for d in c.requests) for c in found if all(c.answered)}


def _after(course: _Course, requests: list[Request]) -> Iterable[_Course]:
    if all(course.answered):
        return
    for world in happens(course.world):
        yield course._replace(world=world)
    for n, request in enumerate(requests):
        decided = course.requests[n]
        if course.answered[n]:
            continue
        if decided is None:
            for found in request.command(course.world):
                # Only what was asked is remembered of it: two ways to the same world are one.
                known = _put(course.requests, n, found._replace(world=_NOWHERE))
                if found.waits:
                    yield _Course(found.world, known, course.answered)
                elif request.told(*_at_once(found), found.world):
                    yield _Course(found.world, known, _put(course.answered, n, True))
        else:
            assert decided.asked is not None
            if request.told(*settled(decided.asked, course.world), course.world):
                yield course._replace(answered=_put(course.answered, n, True))


def _at_once(decided: Decided) -> tuple[int, str | None]:
    if decided.refused is not None:
        return decided.refused
    assert decided.asked is not None
    return settled(decided.asked, decided.world)


_NOWHERE = World(0)


def _put(of: tuple[T, ...], place: int, value: T) -> tuple[T, ...]:
    return (*of[:place], value, *of[place + 1 :])
