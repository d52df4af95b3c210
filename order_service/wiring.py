"""Puts the parts together, runs them in one process, and takes them down in the right order."""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any

import structlog

from order_service import faults
from order_service.clock import DatabaseClock
from order_service.config import BadSettings, Settings
from order_service.dispatch import Dispatcher, Worker
from order_service.engine import Engine
from order_service.health import Health, broker_check, database_check, partner_check
from order_service.metrics import COMMIT_ENTRIES, Gauges
from order_service.parent import die_with_parent
from order_service.partners.door import Partners, open_partners
from order_service.service import OrderService
from order_service.signals import Signals
from order_service.store.away import DATABASE_AWAY
from order_service.store.committer import Committer
from order_service.store.load import Loader
from order_service.store.pool import connect
from order_service.store.reads import clock as database_time
from order_service.store.schema import check_schema
from order_service.telemetry import configure_logging
from order_service.workers import Inherited, Workers, inherited, is_child, is_orphan

if TYPE_CHECKING:
    from order_service.api.auth import Mode
    from order_service.auth.tokens import JwtVerifier

log = structlog.get_logger("service")

ANSWERED_WITHIN_S = 18.0
"""After the door is closed: a request under way by then, or the last one of an open connection, has its answer."""

DRAIN_CALLS_S = 8.0
"""After the last answer. Longer than a partner's may take: a call under way is finished, not left to its lease."""

COMMITS_END_WITHIN_S = 3.0
POOL_CLOSES_WITHIN_S = 2.0
RELAY_ENDS_WITHIN_S = 8.0
END_WITHIN_S = 35.0
"""A database or broker that says nothing does not keep the process alive: what it owes is in writing."""


async def _within(seconds: float, step: Callable[[], Awaitable[None]]) -> None:
    try:
        async with asyncio.timeout(seconds):
            await step()
    except TimeoutError:
        log.warning("stopped_without_waiting", step=getattr(step, "__qualname__", str(step)))


class CannotStart(Exception):
    """Something the service stands on is missing; the message is one sentence for people."""


class Running:
    """The parts of one process, started in order and stopped in the opposite order."""

    def __init__(self, settings: Settings, parts: tuple[str, ...]) -> None:
        self._settings = settings
        self._parts = parts
        self._stack = AsyncExitStack()
        self._leaving: list[Callable[[], None]] = []
        self.orders: OrderService | None = None
        self.pool: Any = None
        self.commits_wait_s: Callable[[], float] = lambda: 0.0

    async def __aenter__(self) -> Running:
        if self.pool is None:
            await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start the parts, or none."""
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise

    def leave(self) -> None:
        """Not ready any more, and nothing new from the database: other replicas take it, while requests end here."""
        if self.orders is not None:
            self.orders.ready = False
        for part in self._leaving:
            part()

    async def stop(self) -> None:
        """Take everything down; what is under way is finished first."""
        self.leave()
        await self._stack.aclose()

    async def _start(self) -> None:
        settings = self._settings
        assert settings.database_url is not None
        try:
            await check_schema(settings.database_url)
            pool = await connect(settings.database_url, max_size=12)
        except DATABASE_AWAY as fault:
            raise CannotStart(f"The database does not answer: {fault or type(fault).__name__}.") from None
        self._stack.push_async_callback(self._close_pool, pool)
        self.pool = pool
        if {"api", "worker"} & set(self._parts):
            await self._start_engine(pool)
        if "relay" in self._parts:
            await self._start_relay()

    async def _start_engine(self, pool: Any) -> None:
        settings = self._settings
        assert settings.inventory_url
        assert settings.cart_url
        assert settings.payment_url
        clock = DatabaseClock()
        clock.set(await database_time(pool))
        partners = open_partners(
            inventory_url=settings.inventory_url,
            cart_url=settings.cart_url,
            payment_url=settings.payment_url,
            payment_key_ttl_s=settings.payment_key_ttl,
        )
        self._stack.push_async_callback(partners.close)
        loader, committer = Loader(pool), Committer(pool, observe=COMMIT_ENTRIES.observe)
        self.commits_wait_s = committer.waits_s
        self._stack.push_async_callback(_within, COMMITS_END_WITHIN_S, committer.close)
        dispatcher = Dispatcher(partners, timeout_s=settings.partner_timeout, lease_s=settings.lease)
        engine = Engine(
            loader,
            committer,
            clock,
            settings.policy,
            lease_s=settings.lease,
            start_calls=dispatcher.start_calls,
        )
        dispatcher.engine = engine
        self._stack.push_async_callback(dispatcher.drain, DRAIN_CALLS_S)
        if "worker" in self._parts:
            worker = Worker(engine, pool, dispatcher, lease_s=settings.lease)
            worker.start()
            self._leaving.append(worker.claim_no_more)
            self._stack.push_async_callback(worker.stop)
        self.orders = OrderService(
            engine,
            pool,
            partners,
            self._health(pool, partners),
            Gauges(pool),
            request_deadline_s=settings.request_deadline,
        )
        self.orders.ready = True

    def callers(self) -> Mode:
        """Who finds out who calls; ``off``: nobody does."""
        if self._settings.auth == "off":
            return "off"
        from order_service.auth.api_keys import ApiKeys
        from order_service.auth.callers import Callers

        return Callers(ApiKeys(self.pool), self._tokens() if self._settings.tokens else None)

    def _tokens(self) -> JwtVerifier:
        from order_service.auth.key_set import KeySet
        from order_service.auth.sources import FileSource, UrlSource
        from order_service.auth.tokens import JwtVerifier

        settings = self._settings
        assert settings.jwt_issuer
        assert settings.jwt_audience
        if settings.jwt_jwks_file is not None:
            keys = KeySet(FileSource(settings.jwt_jwks_file))
        else:
            assert settings.jwt_jwks_url
            keys = KeySet(UrlSource(settings.jwt_jwks_url))
        keys.start()
        self._stack.push_async_callback(keys.close)
        return JwtVerifier(
            keys, issuer=settings.jwt_issuer, audience=settings.jwt_audience, algorithms=settings.token_algorithms
        )

    async def _start_relay(self) -> None:
        from order_service.relay import Relay

        settings = self._settings
        assert settings.database_url is not None
        assert settings.kafka_bootstrap_servers is not None
        relay = Relay(
            settings.database_url,
            settings.kafka_bootstrap_servers,
            topic=settings.events_topic,
            personal=settings.events_personal == "on",
            lease_s=settings.lease,
        )
        task = asyncio.create_task(relay.run())

        async def stop() -> None:
            relay.stop()
            await task

        self._leaving.append(relay.stop)
        self._stack.push_async_callback(_within, RELAY_ENDS_WITHIN_S, stop)

    @staticmethod
    async def _close_pool(pool: Any) -> None:
        await _within(POOL_CLOSES_WITHIN_S, pool.close)
        pool.terminate()

    def _health(self, pool: Any, partners: Partners) -> Health:
        settings = self._settings
        checks = {"database": database_check(pool)}
        if settings.kafka_bootstrap_servers:
            checks["kafka"] = broker_check(settings.kafka_bootstrap_servers)
        for name in ("inventory", "cart", "payment"):
            checks[name] = partner_check(getattr(settings, f"{name}_url"), partners.breakers[name])
        return Health(checks)


def run_service(settings: Settings, parts: tuple[str, ...]) -> None:
    """Run these parts until SIGTERM or SIGINT, then drain; raises ``BadSettings`` or ``CannotStart``."""
    import uvloop

    settings.need("database_url")
    if "api" in parts:
        settings.check_auth()
    if {"api", "worker"} & set(parts):
        settings.need("payment_url", "inventory_url", "cart_url")
    if "relay" in parts:
        settings.need("kafka_bootstrap_servers")
    configure_logging(settings.log_level, settings.log_format)
    try:
        faults.arm_from_environment()
    except faults.BadPlan as error:
        raise BadSettings(f"ORDER_SERVICE_FAULTS: {error}") from None
    family: Inherited | None = None
    if is_child():
        die_with_parent(signal.SIGTERM)
        if is_orphan():
            return
        family = inherited()
    elif settings.workers > 1:
        sys.exit(_workers(settings, parts).run())
    uvloop.run(_run(settings, parts, family))


def _workers(settings: Settings, parts: tuple[str, ...]) -> Workers:
    """One process for each door; the first finds out whether the port is free, the others share it."""
    doors: list[socket.socket | None] = [None] * settings.workers
    if "api" in parts:
        listen(settings.host, settings.port).close()
        doors = []
        for _ in range(settings.workers):
            port = doors[0].getsockname()[1] if doors and doors[0] else settings.port
            doors.append(listen(settings.host, port, shared=True))
    arguments = [word for part in parts for word in ("--only", part)]
    return Workers(doors, arguments, end_within_s=settings.drain_delay + END_WITHIN_S)


async def _run(settings: Settings, parts: tuple[str, ...], family: Inherited | None) -> None:
    signals = Signals()
    running = Running(settings, parts)
    if not await _done_before(signals.stopping, running.start()):
        log.info("stopped")
        return
    async with running:
        _settle_memory()
        log.info("started", parts=list(parts), host=settings.host, port=settings.port, auth=settings.auth)
        if "api" in parts:
            await _run_api(settings, running, signals, family)
        else:
            if family is not None:
                family.tell_ready()
            await signals.stopping.wait()
        log.info("draining")
    log.info("stopped")


def _settle_memory() -> None:
    """What is there by now stays: the collector of cycles need not look at it again, nor look at all so often.

    Requests leave next to no cycles behind; with the defaults looking for them took a sixth of the CPU.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def _done_before(stopping: asyncio.Event, start: Coroutine[Any, Any, None]) -> bool:
    """Whether everything was started before somebody wanted it to stop; if not, what was started is taken down."""
    starting = asyncio.ensure_future(start)
    asked = asyncio.ensure_future(stopping.wait())
    await asyncio.wait({starting, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if not starting.done():
        starting.cancel()
        with suppress(asyncio.CancelledError):
            await starting
        return False
    starting.result()
    return True


async def _run_api(settings: Settings, running: Running, signals: Signals, family: Inherited | None) -> None:
    from order_service.api.admission import Admission
    from order_service.api.app import create_app
    from order_service.api.server import Limits, serve

    assert running.orders is not None
    door = family.door if family is not None else None
    await serve(
        create_app(running.orders, auth=running.callers()),
        host=settings.host,
        port=settings.port,
        signals=signals,
        limits=Limits(drain_s=settings.drain_delay, idle_s=settings.drain_idle, graceful_s=ANSWERED_WITHIN_S),
        draining=running.leave,
        started=lambda _: family.tell_ready() if family is not None else None,
        sockets=[door or listen(settings.host, settings.port, shared=settings.share_port == "on")],
        admission=Admission(waits_s=running.commits_wait_s),
        mailbox=family.mailbox if family is not None else None,
    )


def listen(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A socket bound to the address; ``shared`` with other processes that say the same. Raises ``CannotStart``."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    door = socket.socket(family, socket.SOCK_STREAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        door.bind((host, port))
    except OSError as error:
        door.close()
        reason = (error.strerror or str(error)).lower()
        raise CannotStart(f"Port {port} on {host} cannot be used ({reason}); set PORT to another one.") from None
    door.setblocking(False)
    return door
