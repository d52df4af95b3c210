"""The collaborator of these tests: it records what reaches the service, and answers what it is told to."""

from __future__ import annotations

from typing import Any

from order_service.core.lifecycle import Status
from order_service.core.messages import Command, PlaceOrder
from order_service.requests import Ask, Page, Principal, Reply

ORDER_ID = "0197b1f0-7a5e-7c11-8000-00000000a1b2"
CALL_ID = "0197b1f0-7a5e-7c11-8000-00000000c3d4"
BODY = b'{"id":"0197b1f0-7a5e-7c11-8000-00000000a1b2",  "total": 1}'
"""With spaces that no encoder would write: it has to come through unchanged."""


class Recorder:
    """``asked`` holds every call as (method, its arguments); ``reply`` or ``error`` is what the next calls get."""

    def __init__(self) -> None:
        self.ready = True
        self.reset()

    def reset(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.reply = Reply(200, BODY, 3)
        self.page = Page([b'{"id":"b"}', b'{"id":"a"}'], "bmV4dA")
        self.changes: list[dict[str, Any]] = []
        self.checks: dict[str, Any] = {"database": {"status": "up"}, "kafka": {"status": "up"}}
        self.error: Exception | None = None
        self.ready = True

    def _answer(self, *asked: Any) -> None:
        self.asked.append(asked)
        if self.error is not None:
            raise self.error

    async def place(self, ask: Ask, message: PlaceOrder) -> Reply:
        self._answer("place", ask, message)
        return self.reply

    async def command(self, ask: Ask, order_id: str, message: Command) -> Reply:
        self._answer("command", ask, order_id, message)
        return self.reply

    async def get(self, principal: Principal, order_id: str) -> Reply:
        self._answer("get", principal, order_id)
        return self.reply

    async def of_user(
        self, principal: Principal, user_id: str, *, limit: int, cursor: str | None, status: Status | None
    ) -> Page:
        self._answer("of_user", principal, user_id, limit, cursor, status)
        return self.page

    async def history(self, principal: Principal, order_id: str) -> list[dict[str, Any]]:
        self._answer("history", principal, order_id)
        return self.changes

    async def metrics(self) -> bytes:
        """A line as Prometheus reads it."""
        return b"up 1\n"

    async def health(self) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        return self.checks
