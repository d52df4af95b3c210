"""Reserves sent together, where the inventory offers it: each keeps its own key, its own answer and its own fate.

Reserves whose orders were committed by one statement begin in the same turn of the loop: these go in one request. One
that is alone, or repeated, goes by itself. What is wrong with the request of many, or with the answer to it, is no
fault of any one of them: each is then sent by itself, with its key, which the inventory knows if it was heard before.
"""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

import msgspec
import structlog
from msgspec import Meta, Raw, Struct

from order_service.core.answers import Lied, Unanswered
from order_service.core.requests import ReserveRequest, encode_request
from order_service.partners.reading import Body, Reader
from order_service.partners.wire import Reply, Wire
from order_service.randomness import random_uuid

PATH = "/api/v1/inventory/reservations"
MOST = 64
"""Reserves in one request, if the inventory takes as many."""
MOST_BYTES = 64 * 1024
"""Of their bodies together; one order may have more by itself."""
PAUSE_S = 60.0
"""After a request of many that the inventory would not take, or whose answer is not believed, they go one by one."""

log = structlog.get_logger("order_service.partners")


class _Entry(Struct, frozen=True, rename="camel", omit_defaults=True):
    """One reserve among others: the bytes of ``reservation`` are those that would be sent by itself."""

    idempotency_key: str
    reservation: Raw
    correlation_id: str = ""


class _Request(Struct, frozen=True):
    reservations: list[_Entry]


class _Answered(Body, frozen=True):
    """The status and body that the reserve would have got by itself."""

    reservation_id: str
    status: Annotated[int, Meta(ge=200, le=599)]
    body: Raw


class _Answer(Body, frozen=True):
    reservations: tuple[_Answered, ...]


class _Waiting(Struct, eq=False):
    request: ReserveRequest
    entry: _Entry
    until: float
    reply: asyncio.Future[Reply | Unanswered | None]
    """None: to be sent by itself."""


_ANSWER = Reader(_Answer)
_encode = msgspec.json.Encoder().encode


class Reserves:
    """Sends reserves, together where that may be."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._most = 0
        self._not_before = 0.0
        self._waiting: list[_Waiting] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def offered(self, most: int) -> None:
        """The inventory has just said how many it takes in one request; below two it takes no such requests."""
        self._most = min(most, MOST)

    async def send(
        self, request: ReserveRequest, key: str, *, alone: bool, deadline_s: float, correlation_id: str
    ) -> Reply | Unanswered:
        """The answer to this reserve, within ``deadline_s`` seconds; ``alone``: in a request of its own."""
        until = time.monotonic() + deadline_s
        body = encode_request(request)
        if not alone and self._most >= 2 and time.monotonic() >= self._not_before:
            reply = await self._among_others(request, _Entry(key, Raw(body), correlation_id), until)
            if reply is not None:
                return reply
            deadline_s = until - time.monotonic()
        return await self._wire.post("reserve", PATH, body, key, deadline_s=deadline_s, correlation_id=correlation_id)

    async def _among_others(self, request: ReserveRequest, entry: _Entry, until: float) -> Reply | Unanswered | None:
        loop = asyncio.get_running_loop()
        waiting = _Waiting(request, entry, until, loop.create_future())
        self._waiting.append(waiting)
        if len(self._waiting) == 1:
            loop.call_soon(self._send)  # with whoever else comes in this turn of the loop
        return await waiting.reply

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []
        for group in _groups(waiting, self._most):
            if len(group) == 1:
                _tell(group[0], None)
            else:
                task = asyncio.get_running_loop().create_task(self._send_group(group))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _send_group(self, group: list[_Waiting]) -> None:
        try:
            reply = await self._wire.post(
                "reserve",
                f"{PATH}/bulk",
                _encode(_Request([one.entry for one in group])),
                random_uuid(),  # of the request, and means nothing: each reserve has its own
                deadline_s=min(one.until for one in group) - time.monotonic(),
                correlation_id=group[0].entry.correlation_id,
            )
            replies = _parted(reply, group)
        except BaseException as fault:
            for one in group:
                if not one.reply.done():
                    one.reply.set_exception(fault if isinstance(fault, Exception) else ConnectionError("cut off"))
            if not isinstance(fault, Exception):
                raise
            return
        if isinstance(replies, str):
            self._not_before = time.monotonic() + PAUSE_S
            log.warning("bulk_reserve_in_vain", reason=replies)
        for one in group:
            match replies:
                case dict():
                    _tell(one, replies[one.request.reservation_id])
                case Unanswered():
                    _tell(one, replies)
                case _:
                    _tell(one, None)


def _parted(reply: Reply | Unanswered, group: list[_Waiting]) -> dict[str, Reply] | Unanswered | str:
    """By reservation, what it got; or why nothing is known of any; or, in words, why each is to be sent by itself."""
    if isinstance(reply, Unanswered):
        return reply
    if reply.status >= 500 or reply.status == 429:
        return reply.undecided()
    if reply.status != 200:
        return f"status {reply.status}"
    answer = _ANSWER.read(reply)
    if isinstance(answer, Unanswered):
        return answer
    if isinstance(answer, Lied):
        return answer.detail
    found = {one.reservation_id: Reply(one.status, bytes(one.body)) for one in answer.reservations}
    asked = {one.request.reservation_id for one in group}
    if found.keys() != asked or len(answer.reservations) != len(asked):
        return "other reservations than asked"
    return found


def _tell(one: _Waiting, reply: Reply | Unanswered | None) -> None:
    if not one.reply.done():  # it may have gone away
        one.reply.set_result(reply)


def _groups(waiting: list[_Waiting], most: int) -> list[list[_Waiting]]:
    groups: list[list[_Waiting]] = []
    size = MOST_BYTES
    for one in waiting:
        if one.reply.done():
            continue
        size += len(one.entry.reservation)
        if size > MOST_BYTES or len(groups[-1]) >= most:
            groups.append([])
            size = len(one.entry.reservation)
        groups[-1].append(one)
    return groups
