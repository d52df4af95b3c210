"""What becomes of one message on its way to a partner and back."""

from __future__ import annotations

from collections.abc import Coroutine
from random import Random
from typing import Any, NamedTuple, cast

import msgspec

from order_service.core.answers import Unanswered
from order_service.partners.cart import HttpCart
from order_service.partners.door import Partners
from order_service.partners.inventory import HttpInventory
from order_service.partners.payment import HttpPayment
from order_service.partners.wire import Reply, Wire
from order_service.sandbox.outcome import Outcome
from tests.money.lives.partners import Counter

FATES = ("fine", "request lost", "answer lost", "late copy", "twice", "busy", "not let in", "garbled", "a lie")
STORM = (60, 9, 9, 6, 5, 4, 1, 2, 1)


class Copy(NamedTuple):
    """A request that is still under way although nobody waits for it any more."""

    path: str
    body: bytes
    key: str


class Network:
    """Draws a fate for each exchange; ``calm`` from the end of the storm on."""

    def __init__(self, counter: Counter, chance: Random) -> None:
        self._counter = counter
        self._chance = chance
        self.calm = False
        self.copies: list[Copy] = []
        self.fate = "fine"
        wire = cast(Wire, self)
        self.partners = Partners(HttpInventory(wire), HttpCart(wire), HttpPayment(wire))

    async def post(self, _operation: str, path: str, body: bytes, key: str, **_: Any) -> Reply | Unanswered:
        """A write."""
        return self._exchange("POST", path, body, key)

    async def get(self, _operation: str, path: str, **_: Any) -> Reply | Unanswered:
        """A read."""
        return self._exchange("GET", path, b"", "")

    def arrive(self, copy: Copy) -> None:
        """A late copy arrives; nobody hears the answer."""
        self.copies.remove(copy)
        self._counter.serve("POST", copy.path, copy.body, copy.key)

    def _exchange(self, method: str, path: str, body: bytes, key: str) -> Reply | Unanswered:
        self.fate = "fine" if self.calm else self._chance.choices(FATES, STORM)[0]
        match self.fate:
            case "request lost":
                return Unanswered("no connection")
            case "late copy" if method == "POST":
                self.copies.append(Copy(path, body, key))
                return Unanswered("timeout")
            case "busy":
                return Reply(503, b"{}", retry_after_s=self._chance.choice((None, 2.0)))
            case "not let in":
                return Reply(401, b'{"code":"who-are-you"}')
            case "twice":
                self._counter.serve(method, path, body, key)
        return self._heard(self._counter.serve(method, path, body, key))

    def _heard(self, outcome: Outcome) -> Reply | Unanswered:
        if outcome.hold_s or self.fate == "answer lost":
            return Unanswered("timeout")
        body = msgspec.json.encode(outcome.body)
        if self.fate == "garbled":
            body = body[: len(body) // 2]
        elif self.fate == "a lie":
            for name in (b'"reference":"', b'"reservationId":"'):
                body = body.replace(name, name + b"not-")
        return Reply(outcome.status, body)


def at_once(work: Coroutine[Any, Any, Any]) -> Any:
    """Run what never waits."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("an exchange in process has nothing to wait for")
