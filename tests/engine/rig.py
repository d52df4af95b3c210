"""One or more replicas of the service inside the test's own event loop, on a real database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import asyncpg

from order_service.config import Settings
from order_service.core.errors import Refusal
from order_service.core.messages import Cancel, Command, Pay, PlaceOrder, RefundOrder, SetStatus
from order_service.dispatch import Dispatcher
from order_service.engine import Engine
from order_service.requests import Ask, Principal, Reply
from order_service.service import OrderService
from order_service.wiring import Running
from tests.engine.partners import ScriptedPartners
from tests.store.given import placing
from tests.store.proxy import Fault, Proxy

T = TypeVar("T")
STAFF = Principal("staff:ada", "staff")
PATIENCE_S = 20.0
ROUTES: dict[type, str] = {
    PlaceOrder: "POST /orders",
    Pay: "POST /payment",
    Cancel: "POST /cancel",
    SetStatus: "PUT /status",
    RefundOrder: "POST /refunds",
}


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a test's story to its end."""
    return asyncio.run(work)


class Replica:
    """One process's worth of the service, and the questions a test asks of it."""

    def __init__(self, orders: OrderService) -> None:
        self.orders = orders

    @property
    def engine(self) -> Engine:
        """The engine behind the service."""
        return self.orders._engine

    @property
    def dispatcher(self) -> Dispatcher:
        """What makes the calls."""
        dispatcher: Dispatcher = self.engine._start_calls.__self__  # type: ignore[attr-defined]
        return dispatcher

    @property
    def waiters(self) -> int:
        """How many requests wait for an answer."""
        return sum(len(waiting) for waiting in self.engine._waiters.values())

    @property
    def in_turn(self) -> int:
        """How many orders are being changed, or about to be."""
        return len(self.engine._turns)

    def ask(self, message: Command, **fields: Any) -> Ask:
        """The frame of a request, as the API would make it."""
        known: dict[str, Any] = {
            "principal": STAFF,
            "route": ROUTES.get(type(message), "POST /calls"),
            "correlation_id": "corr-1",
            "fingerprint": repr(message).encode()[:32],
        }
        return Ask(**(known | fields))

    async def place(self, message: PlaceOrder | None = None, **fields: Any) -> Reply:
        """Place an order."""
        message = message or placing()
        return await answered(self.orders.place(self.ask(message, fingerprint=b"place", **fields), message))

    async def command(self, order_id: str, message: Command, **fields: Any) -> Reply:
        """Send a command."""
        return await answered(self.orders.command(self.ask(message, **fields), order_id, message))

    async def get(self, order_id: str) -> dict[str, Any]:
        """The order as it is now."""
        return document(await self.orders.get(STAFF, order_id))

    async def placed(self, **fields: Any) -> str:
        """The id of an order whose stock is reserved."""
        reply = await self.place(placing(**fields))
        assert reply.status == 201, reply.body
        return str(document(reply)["id"])

    async def confirmed(self) -> str:
        """The id of an order that is paid."""
        order_id = await self.placed()
        assert (await self.command(order_id, Pay())).status == 200
        return order_id

    async def until(self, order_id: str, **fields: Any) -> dict[str, Any]:
        """Wait until the order has these fields."""
        order: dict[str, Any] = {}

        async def has() -> bool:
            order.update(await self.get(order_id))
            return all(order[name] == value for name, value in fields.items())

        await eventually(has)
        return order


async def answered(work: Coroutine[Any, Any, Reply]) -> Reply:
    """The reply, also where it is a refusal of the rules (the API makes a problem document of it)."""
    try:
        return await work
    except Refusal as refusal:
        body = {"status": refusal.status, "code": refusal.code, **refusal.extra}
        return Reply(refusal.status, json.dumps(body, default=str).encode(), problem=True)


def document(reply: Reply) -> dict[str, Any]:
    """The decoded body."""
    decoded: dict[str, Any] = json.loads(reply.body)
    return decoded


async def eventually(holds: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """Wait for what must come true."""
    async with asyncio.timeout(PATIENCE_S):
        while not await holds():  # noqa: ASYNC110 - what is asked is the database
            await asyncio.sleep(0.01)


def settings_of(database: str, partners: ScriptedPartners, **changes: Any) -> Settings:
    """Settings with short deadlines."""
    known: dict[str, Any] = {
        "database_url": database,
        "inventory_url": partners.url,
        "cart_url": partners.url,
        "payment_url": partners.url,
        "request_deadline": 1.0,
        "partner_timeout": 1.5,
        "lease": 2.0,
        "auth": "off",
    }
    return Settings(**(known | changes))


@asynccontextmanager
async def replica(
    database: str, partners: ScriptedPartners, *, parts: tuple[str, ...] = ("api", "worker"), **settings: Any
) -> AsyncIterator[Replica]:
    """A replica that is up; its deadlines are short."""
    async with Running(settings_of(database, partners, **settings), parts) as running:
        assert running.orders is not None
        yield Replica(running.orders)


async def rows(database: str, sql: str, *args: Any) -> list[dict[str, Any]]:
    """Ask the database, or change it behind everybody's back."""
    connection = await asyncpg.connect(database)
    try:
        return [dict(row) for row in await connection.fetch(sql, *args)]
    finally:
        await connection.close()


async def script(database: str, sql: str) -> None:
    """Run several statements in one session."""
    connection = await asyncpg.connect(database)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


class Valve(Proxy):
    """A proxy that can also hold back everything, or go dumb, as a network does that just drops packets."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self.open = asyncio.Event()
        self.open.set()
        self._age = 0

    def abandon(self) -> None:
        """No byte comes through the connections there are, ever again; nobody is told. New ones work."""
        self._age += 1

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, what: Fault) -> None:
        age = self._age
        with suppress(OSError):
            while data := await source.read(65536):
                if self._fault == what:
                    self._fault = None
                    self.faults += 1
                    return
                await self.open.wait()
                if age != self._age:
                    await asyncio.Event().wait()
                sink.write(data)
                await sink.drain()


@asynccontextmanager
async def valve(dsn: str) -> AsyncIterator[Valve]:
    """A valve in front of this database."""
    running = Valve(dsn)
    await running.start()
    try:
        yield running
    finally:
        running.open.set()
        await running.stop()
