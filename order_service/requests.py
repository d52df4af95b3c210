"""What a request brings besides its command, and what it is answered with: the seam between API and engine."""

from __future__ import annotations

from typing import Any, Protocol

from msgspec import Struct

from order_service.core.lifecycle import Status
from order_service.core.messages import Command, PlaceOrder


class Principal(Struct, frozen=True):
    """Who calls: ``name`` goes to the history as the actor, ``scope`` is customer, service or staff."""

    name: str
    scope: str
    user: str | None = None


class Ask(Struct, frozen=True):
    """The frame of one request.

    ``route`` is the route's template and, with the principal's name, the scope of the Idempotency-Key ``key``;
    ``fingerprint`` is the SHA-256 of method, path and body; ``if_match`` the version the client has seen.
    """

    principal: Principal
    route: str
    correlation_id: str
    key: str | None = None
    fingerprint: bytes = b""
    if_match: int | None = None
    traceparent: str | None = None


class Reply(Struct, frozen=True):
    """An answer ready to send: ``body`` is JSON, a problem document where ``problem`` is set."""

    status: int
    body: bytes
    version: int | None = None
    problem: bool = False
    replayed: bool = False
    retry_after_s: int | None = None
    location: str | None = None


class Page(Struct, frozen=True):
    """A page of a list, newest first: ready-made documents and the cursor of the next page."""

    items: list[bytes]
    next_cursor: str | None


class Orders(Protocol):
    """What the API asks of the service; every method may raise a ``Refusal``."""

    async def place(self, ask: Ask, message: PlaceOrder) -> Reply:
        """Place an order; the message's order id and number are filled in here."""
        ...

    async def command(self, ask: Ask, order_id: str, message: Command) -> Reply:
        """Apply a command to an order and wait for what decides its answer, up to the request's deadline."""
        ...

    async def get(self, principal: Principal, order_id: str) -> Reply:
        """The order as it is now."""
        ...

    async def of_user(
        self, principal: Principal, user_id: str, *, limit: int, cursor: str | None, status: Status | None
    ) -> Page:
        """The orders of one user, newest first; a ``ValueError`` says that the cursor is not one of ours."""
        ...

    async def history(self, principal: Principal, order_id: str) -> list[dict[str, Any]]:
        """The changes of status, oldest first, with the names of the API."""
        ...

    async def health(self) -> dict[str, Any]:
        """``{"database": {...}, "kafka": {...}, ...}``; each check has ``status`` up or down, and a detail."""
        ...

    async def metrics(self) -> bytes:
        """The exposition text for Prometheus."""
        ...

    @property
    def ready(self) -> bool:
        """Whether new requests are welcome: false before the start is complete and while the service drains."""
        ...
