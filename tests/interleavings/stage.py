"""A database, the sandbox's partners, two replicas that are driven, one that prepares, one that ends what is owed."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import shutil
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import Any

import msgspec
import structlog
from aiohttp import web
from structlog.testing import LogCapture

from order_service import faults
from order_service.config import Settings
from order_service.core.errors import Refusal
from order_service.core.messages import Command, PlaceOrder
from order_service.dispatch import Dispatcher, Worker
from order_service.engine import Engine, Owed
from order_service.partners.breaker import RetryBudget
from order_service.problems import problem
from order_service.requests import Ask, Principal, Reply
from order_service.sandbox.app import Sandbox
from order_service.sandbox.world import World
from order_service.service import OrderService
from order_service.wiring import Running
from tests.engine.rig import ROUTES
from tests.interleavings.seat import SEAT, Seat, at_every_point

STAFF = Principal("staff:ada", "staff")
LEASE_S = 3600.0
"""A lease ends when the stage says so, never by itself."""

ANSWERS_WITHIN_S = 0.25
"""Who ends what is owed gives an interim answer after this: he is asked while calls are owed that nobody makes."""

CONNECTIONS = 4
"""More than one replica ever uses at once here: nobody stops between two boundaries to open another."""


class Partners:
    """The sandbox on a real socket of this process, and its ledger by order."""

    def __init__(self, world: World, url: str) -> None:
        self.world = world
        self.url = url
        self._read = 0
        self._by_order: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)

    def ledger(self, order_id: str) -> list[dict[str, Any]]:
        """What took effect for this order, oldest first."""
        for line in self.world.ledger(self._read):
            effect = msgspec.json.decode(line)
            order = effect["orderId"] or effect["reference"].rpartition("-")[0]
            self._by_order[order].append(effect)
            self._read += 1
        return self._by_order.pop(order_id, [])


@asynccontextmanager
async def partners() -> AsyncIterator[Partners]:
    """The three partners, on a free port; their journal is forgotten at the end."""
    folder = Path(tempfile.mkdtemp(prefix="order-service-partners-"))
    world = World(folder)
    runner = web.AppRunner(Sandbox(world).app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield Partners(world, f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


class Replica:
    """One process's worth of the service, in its seat."""

    def __init__(self, seat: Seat, running: Running) -> None:
        assert running.orders is not None
        self.seat = seat
        self.running = running
        self.orders: OrderService = running.orders
        self.engine: Engine = self.orders._engine
        self.dispatcher: Dispatcher = self.engine._start_calls.__self__  # type: ignore[attr-defined]
        self.worker = Worker(self.engine, running.pool, self.dispatcher, lease_s=LEASE_S)

    def start(self, work: Any) -> asyncio.Task[Any]:
        """A task of this replica."""
        context = copy_context()
        context.run(SEAT.set, self.seat)
        return asyncio.get_running_loop().create_task(work, context=context)

    def fresh(self) -> None:
        """As if the process had just begun: no partner has failed it, and nothing was repeated."""
        partners = self.orders._partners
        for name in partners.breakers:
            self.dispatcher._budgets[name] = RetryBudget()
            partners.breakers[name].open = False
            partners.breakers[name]._failures = 0

    async def begin_again(self) -> None:
        """What a dead process remembered is gone; all its connections are there again."""
        self.engine._waiters.clear()
        self.engine._turns.clear()
        await self.fill()

    async def fill(self) -> None:
        """Open the connections: a run in which one is opened would have steps that others have not."""
        opened = [await self.running.pool.acquire() for _ in range(CONNECTIONS)]
        for connection in opened:
            await self.running.pool.release(connection)

    @property
    def at_rest(self) -> bool:
        """Whether the replica remembers nothing and does nothing."""
        return not (self.engine._waiters or self.engine._turns or self.dispatcher.busy)

    async def until_quiet(self) -> None:
        """Wait for the calls under way, of a replica that nobody holds up."""
        while self.dispatcher.busy:
            await asyncio.wait(set(self.dispatcher._tasks))

    async def command(self, order_id: str, message: Command, key: str, correlation_id: str) -> Reply:
        """Send a command as staff."""
        return await _answered(
            self.orders.command(ask(message, key, correlation_id), order_id, message), correlation_id
        )

    async def place(self, message: PlaceOrder, key: str, correlation_id: str) -> Reply:
        """Place an order."""
        return await _answered(self.orders.place(ask(message, key, correlation_id), message), correlation_id)


def ask(message: Command, key: str, correlation_id: str) -> Ask:
    """The frame of a request, as the API would make it."""
    print_of = hashlib.sha256(repr(message).encode()).digest()
    return Ask(STAFF, ROUTES.get(type(message), "POST /calls"), correlation_id, key=key, fingerprint=print_of)


async def _answered(work: Any, correlation_id: str) -> Reply:
    """The reply, also where it is a refusal: the API makes the same problem document of it."""
    try:
        reply: Reply = await work
    except Refusal as refusal:
        return Reply(refusal.status, problem(refusal, correlation_id), problem=True)
    return reply


class Stage:
    """Where schedules run one after the other, each on an order of its own."""

    def __init__(self, partners: Partners, log: LogCapture) -> None:
        self.partners = partners
        self.log = log
        self.changed = asyncio.Event()
        self.seats = [Seat(name, self.changed) for name in "ab"]
        self.driven: list[Replica] = []
        self.numbers = itertools.count(1)

    async def open(self, stack: AsyncExitStack, database: str) -> None:
        """Start the replicas; they end with the stack."""
        settings = _settings(database, self.partners.url)
        self.driven = [await _replica(stack, settings, seat) for seat in self.seats]
        self.prepares = await _replica(stack, settings, Seat("p", self.changed))
        impatient = settings.model_copy(update={"request_deadline": ANSWERS_WITHIN_S})
        self.ends = await _replica(stack, impatient, Seat("e", self.changed))
        self.collected: defaultdict[str, list[Owed]] = defaultdict(list)
        self.prepares.engine._start_calls = self._collect

    def _collect(self, calls: list[Owed]) -> None:
        for call in calls:
            self.collected[call.order_id].append(call)

    def errors(self) -> list[str]:
        """What was logged as an error since this was asked last."""
        entries, self.log.entries = self.log.entries, []
        return [str(entry) for entry in entries if entry["log_level"] in ("error", "critical")]

    async def rows(self, sql: str, *args: Any) -> list[Any]:
        """Ask the database."""
        found: list[Any] = await self.ends.running.pool.fetch(sql, *args)
        return found


def _settings(database: str, url: str) -> Settings:
    urls = {f"{name}_url": url for name in ("inventory", "cart", "payment")}
    return Settings(database_url=database, lease=LEASE_S, auth="off", **urls)  # type: ignore[arg-type]


async def _replica(stack: AsyncExitStack, settings: Settings, seat: Seat) -> Replica:
    running = await stack.enter_async_context(Running(settings, ("api",)))
    replica = Replica(seat, running)
    await replica.fill()
    return replica


@contextmanager
def hooked(log: LogCapture) -> Iterator[None]:
    """Every boundary stops whoever has a seat; what is logged is kept, not written."""
    before = structlog.get_config()
    structlog.configure(processors=[log], wrapper_class=structlog.make_filtering_bound_logger(30))
    faults.hook = at_every_point
    try:
        yield
    finally:
        faults.hook = None
        structlog.configure(**before)
