"""The service behind the API: idempotency keys, the wait for an answer, and the reads.

A request is ``load -> decide -> commit -> dispatch the call that decides its answer, until the deadline -> answer``.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

import asyncpg
import structlog
from msgspec.structs import replace

from order_service.availability import Together
from order_service.clock import new_order_id, new_order_number, seconds_until
from order_service.core.answers import Lied, Shortage, Unanswered
from order_service.core.cart import changed
from order_service.core.errors import OutOfStock, Refusal
from order_service.core.lifecycle import Status
from order_service.core.messages import Asked, Command, GiveUpCall, PlaceOrder, RetryCall
from order_service.core.outcome import INTERIM, Outcome, outcome
from order_service.engine import Engine, Frame, KeyTaken, Waiter, location_of, render
from order_service.health import Health
from order_service.metrics import Gauges
from order_service.partners.door import Partners
from order_service.partners.ports import AvailabilityAnswer
from order_service.patience import Patience
from order_service.problems import (
    CartChanged,
    CartUnavailable,
    InventoryUnavailable,
    KeyReused,
    MissingScope,
    OrderNotFound,
    RequestInFlight,
    ServiceUnavailable,
)
from order_service.requests import Ask, Page, Principal, Reply
from order_service.store.away import DATABASE_AWAY
from order_service.store.calls import call_exists
from order_service.store.commit import KeyBinding, Remember, StoredReply
from order_service.store.keys import KeyRecord, Keys, release_key, remember
from order_service.store.load import Loaded
from order_service.store.reads import Documents, history, user_page

log = structlog.get_logger("service")


ANSWER_WITHIN_S = 2.0
"""Seconds after its deadline by which a request is answered, whatever the database does meanwhile."""

_LATE_LOOK_S = 1.0

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _or_unavailable(method: Callable[_P, Coroutine[Any, Any, _T]]) -> Callable[_P, Coroutine[Any, Any, _T]]:
    """A database that is away is a 503 that may be repeated, never a 500."""

    @functools.wraps(method)
    async def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        service = args[0]
        assert isinstance(service, OrderService)
        try:
            with service.patience():
                return await method(*args, **kwargs)
        except DATABASE_AWAY as fault:
            log.warning("database_away", fault=f"{type(fault).__name__}: {fault}")
            raise ServiceUnavailable from fault

    return guarded


class OrderService:
    """Implements the ``Orders`` protocol of the API on the engine."""

    def __init__(
        self,
        engine: Engine,
        pool: asyncpg.Pool,
        partners: Partners,
        health: Health,
        gauges: Gauges,
        *,
        request_deadline_s: float,
    ) -> None:
        self._engine = engine
        self._pool = pool
        self._keys = Keys(pool)
        self._documents = Documents(pool)
        self._partners = partners
        self._availability = Together(partners.inventory)
        self._health = health
        self._gauges = gauges
        self._deadline_s = request_deadline_s
        self._loop = asyncio.get_running_loop()
        self.patience = Patience(request_deadline_s + ANSWER_WITHIN_S)
        self.ready = False

    # --- writes ---

    @_or_unavailable
    async def place(self, ask: Ask, message: PlaceOrder) -> Reply:
        """1 availability, read only; 2 the order is written and its stock asked for; 3 the answer, or 202."""
        deadline = time.monotonic() + self._deadline_s
        if not _may_see(ask.principal, message.user_id):
            raise MissingScope(("service", "staff"), "An order for another user")
        need = _need(message)
        # Asked beside the look at the key: nearly every request is a first one, and an answer in vain changes nothing.
        available = self._availability.ask(need, deadline_s=self._deadline_s, correlation_id=ask.correlation_id)
        try:
            remembered = await self._remembered(ask)
            if remembered is not None:
                return remembered
            try:
                if not _sees_all(ask.principal):
                    await self._check_cart(ask, message, deadline)
                _check_availability(ask, need, await available)
            except Refusal as refusal:
                return await self._unless_twin(ask, refusal)
        finally:
            available.cancel()
        message = replace(message, order_id=new_order_id(self._engine.clock.now()), order_number=new_order_number())
        binding = self._binding(ask, deadline)
        waiter = Waiter(Asked("place"), binding, ask.correlation_id, self._loop)
        try:
            applied = await self._engine.place(message, _frame(ask), key=binding, waiter=waiter)
        except KeyTaken:
            return await self._after_key_taken(ask)
        return await self._answer(ask, applied.loaded, waiter, deadline)

    @_or_unavailable
    async def command(self, ask: Ask, order_id: str, message: Command) -> Reply:
        """Apply a command and wait for what decides its answer, up to the deadline."""
        deadline = time.monotonic() + self._deadline_s
        hint = await self._own(ask.principal, order_id)
        remembered = await self._remembered(ask)
        if remembered is not None:
            return remembered
        if isinstance(message, RetryCall | GiveUpCall):
            known = await call_exists(self._pool, order_id, message.call_id)
            message = replace(message, known=known)
        binding = self._binding(ask, deadline)
        waiter = Waiter(Asked("done"), binding, ask.correlation_id, self._loop)
        try:
            applied = await self._engine.apply(
                order_id, message, _frame(ask), key=binding, if_match=ask.if_match, hint=hint, waiter=waiter
            )
        except KeyTaken:
            return await self._after_key_taken(ask)
        except Refusal as refusal:
            return await self._unless_twin(ask, refusal)
        if waiter.reply.done():
            return await self._told(ask, order_id, waiter)
        if not applied.written:
            asked = applied.decision.asked
            assert asked is not None
            result = outcome(asked, applied.loaded.state.order)
            return _render(result, applied.loaded, ask, asked)
        return await self._answer(ask, applied.loaded, waiter, deadline)

    async def _own(self, principal: Principal, order_id: str) -> Loaded | None:
        """A customer's own order, looked at before anything that could tell another's from an absent one."""
        if _sees_all(principal):
            return None
        loaded = await self._engine.load(order_id)
        if not _may_see(principal, loaded.state.order.user_id):
            raise OrderNotFound
        return loaded

    async def _check_cart(self, ask: Ask, message: PlaceOrder, deadline: float) -> None:
        """A customer orders what its cart holds, and sets no price."""
        answer = await self._partners.cart.get(
            message.user_id, deadline_s=seconds_until(deadline), correlation_id=ask.correlation_id
        )
        if isinstance(answer, Unanswered | Lied):
            log.warning("cart_unanswered", reason=str(answer), correlation_id=ask.correlation_id)
            raise CartUnavailable
        differing = changed(message, answer)
        if differing:
            raise CartChanged(differing)

    async def _answer(self, ask: Ask, loaded: Loaded, waiter: Waiter, deadline: float) -> Reply:
        """Wait until the order tells the answer, or say 202 and let the worker finish."""
        order_id = loaded.state.order.id
        try:
            await waiter.told(seconds_until(deadline))
        finally:
            self._engine.forget(order_id, waiter)
        reply = waiter.reply.result()
        if reply is not None:
            return reply
        try:
            async with asyncio.timeout(_LATE_LOOK_S):
                return await self._late_answer(ask, order_id, waiter.asked)
        except DATABASE_AWAY as fault:
            # What was asked for is written: saying so is better than letting the client ask for it again.
            log.warning("database_away", fault=type(fault).__name__, correlation_id=ask.correlation_id)
            return _render(INTERIM, loaded, ask, waiter.asked)

    async def _told(self, ask: Ask, order_id: str, waiter: Waiter) -> Reply:
        reply = waiter.reply.result() if waiter.reply.done() else None
        return reply or await self._late_answer(ask, order_id, waiter.asked)

    async def _late_answer(self, ask: Ask, order_id: str, asked: Asked) -> Reply:
        """What the database knows: another replica may have finished what this one waited for."""
        loaded = await self._engine.load(order_id)
        result = outcome(asked, loaded.state.order)
        reply = _render(result, loaded, ask, asked)
        if ask.key is None:
            return reply
        if not result.settled:
            await release_key(self._pool, ask.principal.name, ask.route, ask.key)
            return reply
        return await self._remember(ask, reply)

    # --- idempotency keys ---

    def _binding(self, ask: Ask, deadline: float) -> KeyBinding | None:
        if ask.key is None:
            return None
        return KeyBinding(
            ask.principal.name,
            ask.route,
            ask.key,
            ask.fingerprint,
            Asked("done"),
            busy_s=seconds_until(deadline),
        )

    async def _remembered(self, ask: Ask) -> Reply | None:
        """The answer that an earlier request with the same key got, or has coming."""
        if ask.key is None:
            return None
        row = await self._keys.find(ask.principal.name, ask.route, ask.key)
        return None if row is None else await self._replay(ask, row)

    async def _unless_twin(self, ask: Ask, refusal: Refusal) -> Reply:
        """A refusal stands, unless a twin with the same key has made its reason: then the twin's answer is the answer.

        It may have emptied the cart, taken the last pieces, or refunded the rest.
        """
        remembered = await self._remembered(ask)
        if remembered is None:
            raise refusal
        return remembered

    async def _after_key_taken(self, ask: Ask) -> Reply:
        assert ask.key is not None
        row = await self._keys.find(ask.principal.name, ask.route, ask.key)
        if row is None:
            raise RequestInFlight
        return await self._replay(ask, row)

    async def _replay(self, ask: Ask, row: KeyRecord) -> Reply:
        if row.fingerprint != ask.fingerprint:
            raise KeyReused
        if row.reply is not None:
            return _stored(row.reply, row.order_id, row.asked)
        if row.busy:
            raise RequestInFlight
        loaded = await self._engine.load(row.order_id)
        result = outcome(row.asked, loaded.state.order)
        reply = _render(result, loaded, ask, row.asked)
        if not result.settled:
            return replace(reply, replayed=True)
        return replace(await self._remember(ask, reply), replayed=True)

    async def _remember(self, ask: Ask, reply: Reply) -> Reply:
        """Store the answer under its key, unless a twin was faster: then its bytes are the answer."""
        assert ask.key is not None
        name, route, key = ask.principal.name, ask.route, ask.key
        stored = StoredReply(reply.status, reply.body, reply.version, reply.problem)
        await remember(self._pool, [Remember(name, route, key, stored)])
        row = await self._keys.find(name, route, key)
        if row is None or row.reply is None:
            return reply
        return replace(_stored(row.reply, row.order_id, row.asked), replayed=False)

    # --- reads ---

    @_or_unavailable
    async def get(self, principal: Principal, order_id: str) -> Reply:
        """The order as it is now."""
        found = await self._documents.one(order_id)
        if found is None or not _may_see(principal, found.user_id):
            raise OrderNotFound
        return Reply(200, found.body, found.version)

    @_or_unavailable
    async def of_user(
        self, principal: Principal, user_id: str, *, limit: int, cursor: str | None, status: Status | None
    ) -> Page:
        """The orders of one user, newest first; a ``ValueError`` says that the cursor is not one of ours."""
        if not _may_see(principal, user_id):
            raise OrderNotFound
        before = None if cursor is None else str(UUID(cursor))
        if before != cursor:
            raise ValueError("a cursor comes back as it was given out")
        found = await user_page(self._pool, user_id, limit=limit + 1, before_id=before, status=status)
        next_cursor = found[limit - 1][0] if len(found) > limit else None
        return Page([body for _, body in found[:limit]], next_cursor)

    @_or_unavailable
    async def history(self, principal: Principal, order_id: str) -> list[dict[str, Any]]:
        """The changes of status, oldest first."""
        found = await self._documents.one(order_id)
        if found is None or not _may_see(principal, found.user_id):
            raise OrderNotFound
        return await history(self._pool, order_id)

    async def health(self) -> dict[str, Any]:
        """Each part the service stands on, up or down."""
        return await self._health()

    async def metrics(self) -> bytes:
        """What Prometheus scrapes."""
        return await self._gauges.render()


def _sees_all(principal: Principal) -> bool:
    return principal.scope in ("service", "staff")


def _may_see(principal: Principal, user_id: str) -> bool:
    return _sees_all(principal) or principal.user == user_id


def _need(message: PlaceOrder) -> dict[str, int]:
    need: dict[str, int] = {}
    for line in message.items:
        need[line.product_id] = need.get(line.product_id, 0) + line.quantity
    return need


def _check_availability(ask: Ask, need: dict[str, int], answer: AvailabilityAnswer) -> None:
    if isinstance(answer, Unanswered):
        log.warning("availability_unanswered", reason=answer.reason, correlation_id=ask.correlation_id)
        raise InventoryUnavailable
    short = tuple(Shortage(p, q, answer[p]) for p, q in need.items() if answer[p] < q)
    if short:
        raise OutOfStock(short)


def _frame(ask: Ask) -> Frame:
    return Frame(ask.principal.name, ask.correlation_id, ask.traceparent)


def _render(result: Outcome, loaded: Loaded, ask: Ask, asked: Asked) -> Reply:
    created = loaded.state.order.id if asked.kind == "place" else None
    return render(result, loaded.document(), loaded.version, ask.correlation_id, created)


def _stored(reply: StoredReply, order_id: str, asked: Asked) -> Reply:
    created = order_id if asked.kind == "place" and not reply.problem else None
    return Reply(
        reply.status,
        reply.body,
        reply.version,
        problem=reply.problem,
        replayed=True,
        location=location_of(created),
    )
