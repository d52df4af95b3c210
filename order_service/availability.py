"""Availability asked for many orders by one call: nothing is changed by it, and each order reads its own answer.

An order that comes alone is asked for at once; those that come while as many calls as may be are under way go together
into the next. What goes wrong with a call of many because of one product is no fault of its neighbours: each of them is
then asked for alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any

from msgspec import Struct

from order_service.core.answers import Unanswered
from order_service.core.requests import AvailabilityRequest, StockItem
from order_service.partners.ports import AvailabilityAnswer, Inventory
from order_service.randomness import random_uuid

AT_ONCE = 2
"""Calls under way: the next one need not wait for the whole of the one before."""

PATIENCE_S = 0.1
"""Nobody waits longer than this for calls under way to end: one that is never answered must not hold up the others."""

MOST_PRODUCTS = 200
"""In one call; one order may have more by itself."""

_OF_ANY_QUESTION = ("timeout", "no connection", "connection lost", "breaker open", "closing")
"""Reasons that say nothing about what was asked: asking for each alone would only be more of the same."""


class _Asked(Struct, eq=False):
    need: dict[str, int]
    until: float
    correlation_id: str
    answer: asyncio.Future[AvailabilityAnswer]


class Together:
    """Gathers questions; make it inside the running loop."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Asked] = []
        self._sending = False
        self._patience: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(
        self, need: dict[str, int], *, deadline_s: float, correlation_id: str
    ) -> asyncio.Future[AvailabilityAnswer]:
        """Pieces to be had of each product of ``need``, or why that is not known by the deadline.

        Whoever wants the answer no more cancels it.
        """
        asked = _Asked(need, self._loop.time() + deadline_s, correlation_id, self._loop.create_future())
        self._waiting.append(asked)
        if not self._sending:
            self._sending = True
            self._loop.call_soon(self._send)  # with whoever else comes in this turn of the loop
        timer = self._loop.call_at(asked.until, _too_late, asked.answer)
        asked.answer.add_done_callback(partial(_done, timer))
        return asked.answer

    def _send(self) -> None:
        self._sending = False
        while self._waiting and len(self._tasks) < AT_ONCE:
            self._send_next()
        if self._waiting and self._patience is None:
            self._patience = self._loop.call_later(PATIENCE_S, self._wait_no_longer)

    def _wait_no_longer(self) -> None:
        self._patience = None
        self._send_next()
        self._send()

    def _send_next(self) -> None:
        group = self._take()
        if group:
            self._start(self._ask_for(group))

    def _take(self) -> list[_Asked]:
        group: list[_Asked] = []
        products: set[str] = set()
        for place, one in enumerate(self._waiting):
            if one.answer.done():
                continue
            products |= one.need.keys()
            if group and len(products) > MOST_PRODUCTS:
                self._waiting = self._waiting[place:]
                return group
            group.append(one)
        self._waiting = []
        return group

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._send()

    async def _ask_for(self, group: list[_Asked]) -> None:
        try:
            answer = await self._call(group)
        except BaseException as fault:
            for one in group:
                if not one.answer.done():
                    one.answer.set_exception(fault if isinstance(fault, Exception) else ConnectionError("cut off"))
            if not isinstance(fault, Exception):
                raise
            return
        if isinstance(answer, Unanswered) and len(group) > 1 and not _of_any_question(answer):
            for one in group:
                self._start(self._ask_for([one]))
            return
        for one in group:
            if not one.answer.done():
                mine = answer if isinstance(answer, Unanswered) else {product: answer[product] for product in one.need}
                one.answer.set_result(mine)

    async def _call(self, group: list[_Asked]) -> AvailabilityAnswer:
        need: dict[str, int] = {}
        for one in group:
            for product, quantity in one.need.items():
                need[product] = max(quantity, need.get(product, 0))
        until = max(one.until for one in group)
        return await self._inventory.availability(
            AvailabilityRequest(tuple(StockItem(product, quantity) for product, quantity in need.items())),
            random_uuid(),  # a key of its own each time, or the answer might be an old one
            deadline_s=until - self._loop.time(),
            correlation_id=group[0].correlation_id,
        )


def _of_any_question(answer: Unanswered) -> bool:
    return answer.reason in _OF_ANY_QUESTION or answer.reason.startswith(("status 5", "status 429"))


def _done(timer: asyncio.TimerHandle, answer: asyncio.Future[AvailabilityAnswer]) -> None:
    timer.cancel()
    if not answer.cancelled():
        answer.exception()  # raised for who awaits it; the loop need not report it where nobody does


def _too_late(answer: asyncio.Future[AvailabilityAnswer]) -> None:
    if not answer.done():
        answer.set_result(Unanswered("timeout"))
