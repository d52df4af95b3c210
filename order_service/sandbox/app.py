"""The sandbox over HTTP: Inventory, Cart and Payment on one port, and the levers under /sandbox."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus

import msgspec
from aiohttp import web

from order_service.sandbox import contract
from order_service.sandbox.journal import CartSet, StockSet
from order_service.sandbox.network import Network, Weather
from order_service.sandbox.outcome import Outcome, refusal
from order_service.sandbox.stock import delay_s
from order_service.sandbox.world import World

MAX_BODY = 2**20
MAX_KEY = 255
RESERVATIONS = "/api/v1/inventory/reservations"
LEDGER_PIECE = 2_000
"""Effects written to the ledger's reader at a time, so that a long ledger holds up nobody."""

Decide = Callable[[str, bytes], Outcome]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Sandbox:
    """The routes. Between the look at the memory and the journal nothing waits, so a key acts once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.network = Network()
        self._settler: asyncio.TimerHandle | None = None

    def app(self) -> web.Application:
        """Build the application."""
        app = web.Application(client_max_size=MAX_BODY, middlewares=[self.network.middleware, _problems])
        app.cleanup_ctx.append(self._lifetime)
        inventory, payments = "/api/v1/inventory", "/api/v1/payments"
        app.add_routes(
            [
                web.post(f"{inventory}/availability", self.availability),
                web.post(f"{inventory}/reservations", self.reserve),
                web.post(f"{inventory}/reservations/bulk", self.reserve_many),
                web.get(f"{inventory}/reservations/{{id}}", self.reservation),
                web.post(f"{inventory}/reservations/{{id}}/release", self.release),
                web.post(f"{inventory}/reservations/{{id}}/commit", self.commit),
                web.get("/api/v1/carts/{id}", self.cart),
                web.post("/api/v1/carts/{id}/clear", self.clear_cart),
                web.post(payments, self.charge),
                web.get(payments, self.find_payments),
                web.post(f"{payments}/void", self.void),
                web.get(f"{payments}/{{id}}", self.payment),
                web.post(f"{payments}/{{id}}/refunds", self.refund),
                web.put("/sandbox/stock/{id}", self.set_stock),
                web.put("/sandbox/carts/{id}", self.set_cart),
                web.post("/sandbox/payments/{id}/capture", self.capture),
                web.put("/sandbox/network", self.set_network),
                web.get("/sandbox/network", self.show_network),
                web.get("/sandbox/ledger", self.ledger),
                web.get("/health", self.health),
            ]
        )
        return app

    async def _lifetime(self, _: web.Application) -> AsyncIterator[None]:
        self._settle()
        yield
        if self._settler is not None:
            self._settler.cancel()
        self._world.close()

    def _settle(self) -> None:
        """Settle what is due, and come back for the next by a timer of our own."""
        if self._settler is not None:
            self._settler.cancel()
            self._settler = None
        wait_s = self._world.settle_due()
        if wait_s is not None:
            self._settler = asyncio.get_running_loop().call_later(wait_s, self._settle)

    # Inventory

    async def availability(self, request: web.Request) -> web.StreamResponse:
        """POST /api/v1/inventory/availability: a question, so its key is neither asked for nor kept."""
        body = contract.read(await request.read(), contract.AskAvailability)
        return _answer(self._world.stock.availability(body))

    async def reserve(self, request: web.Request) -> web.StreamResponse:
        """POST /api/v1/inventory/reservations."""
        wanted = contract.read(await request.read(), contract.Reserve)
        return await self._write(request, lambda key, _: self._world.stock.reserve(wanted, key), delay=delay_s(wanted))

    async def reserve_many(self, request: web.Request) -> web.StreamResponse:
        """POST /api/v1/inventory/reservations/bulk: each as by itself; what takes its time holds up nobody."""
        wanted = contract.read(await request.read(), contract.ReserveMany).reservations
        reserves = [contract.read(bytes(one.reservation), contract.Reserve) for one in wanted]
        answers = [
            {"reservationId": reserve.reservation_id, "status": outcome.status, "body": outcome.body}
            for one, reserve in zip(wanted, reserves, strict=True)
            for outcome in [self._reserve_among_others(one, reserve)]
        ]
        return _answer(Outcome(200, {"reservations": answers}, remember=False))

    def _reserve_among_others(self, one: contract.Keyed, wanted: contract.Reserve) -> Outcome:
        if delay_s(wanted):
            return refusal(503, "not-among-others", "this one takes its time: ask for it by itself")
        key = one.idempotency_key
        return self._once(
            f"{RESERVATIONS} {key}", bytes(one.reservation), lambda: self._world.stock.reserve(wanted, key)
        )

    async def reservation(self, request: web.Request) -> web.StreamResponse:
        """GET /api/v1/inventory/reservations/{reservationId}."""
        return _answer(self._world.stock.view(_id(request)))

    async def release(self, request: web.Request) -> web.StreamResponse:
        """POST /api/v1/inventory/reservations/{reservationId}/release."""

        def decide(key: str, body: bytes) -> Outcome:
            told = contract.read(body, contract.EndReservation)
            return self._world.stock.release(_id(request), told, key)

        return await self._write(request, decide)

    async def commit(self, request: web.Request) -> web.StreamResponse:
        """POST /api/v1/inventory/reservations/{reservationId}/commit."""
        return await self._write(request, lambda key, _: self._world.stock.commit(_id(request), key))

    # Cart

    async def cart(self, request: web.Request) -> web.StreamResponse:
        """GET /api/v1/carts/{userId}."""
        return _answer(self._world.carts.view(_id(request)))

    async def clear_cart(self, request: web.Request) -> web.StreamResponse:
        """POST /api/v1/carts/{userId}/clear."""

        def decide(key: str, body: bytes) -> Outcome:
            return self._world.carts.clear(_id(request), contract.read(body, contract.ClearCart), key)

        return await self._write(request, decide)

    # Payment

    async def charge(self, request: web.Request) -> web.StreamResponse:
        """POST /api/v1/payments."""

        def decide(key: str, body: bytes) -> Outcome:
            wanted = contract.read(body, contract.Charge)
            return self._world.payments.charge(wanted, key, self._world.now())

        return await self._write(request, decide)

    async def find_payments(self, request: web.Request) -> web.StreamResponse:
        """GET /api/v1/payments?reference=."""
        self._settle()
        reference = request.query.get("reference")
        if not reference:
            return _answer(refusal(400, "reference-missing", "name a reference"))
        return _answer(self._world.payments.find(reference))

    async def payment(self, request: web.Request) -> web.StreamResponse:
        """GET /api/v1/payments/{paymentId}."""
        self._settle()
        return _answer(self._world.payments.view(_id(request)))

    async def void(self, request: web.Request) -> web.StreamResponse:
        """POST /api/v1/payments/void."""

        def decide(key: str, body: bytes) -> Outcome:
            return self._world.payments.void(contract.read(body, contract.Void), key)

        return await self._write(request, decide)

    async def refund(self, request: web.Request) -> web.StreamResponse:
        """POST /api/v1/payments/{paymentId}/refunds."""

        def decide(key: str, body: bytes) -> Outcome:
            wanted = contract.read(body, contract.Refund)
            return self._world.payments.refund(_id(request), wanted, key, self._world.now())

        return await self._write(request, decide)

    # Levers

    async def set_stock(self, request: web.Request) -> web.StreamResponse:
        """PUT /sandbox/stock/{productId}: pieces on hand, held and gone ones included."""
        level = contract.read(await request.read(), contract.StockLevel)
        answer = {"productId": _id(request), "quantity": level.quantity}
        change = StockSet(_id(request), level.quantity)
        return _answer(self._world.settle(Outcome(200, answer, change)))

    async def set_cart(self, request: web.Request) -> web.StreamResponse:
        """PUT /sandbox/carts/{userId}: the whole cart."""
        cart = contract.read(await request.read(), contract.Cart)
        self._world.settle(Outcome(200, {}, CartSet(_id(request), cart)))
        return _answer(self._world.carts.view(_id(request)))

    async def capture(self, request: web.Request) -> web.StreamResponse:
        """POST /sandbox/payments/{reference}/capture: take the money, whatever became of the payment."""
        self._settle()
        return _answer(self._world.settle(self._world.payments.capture(_id(request))))

    async def set_network(self, request: web.Request) -> web.StreamResponse:
        """PUT /sandbox/network: the faults that happen on the way from now on."""
        weather = contract.read(await request.read(), Weather)
        if sum(weather.rates.values()) > 1:
            raise contract.Malformed(422, "the rates of all faults together are at most 1")
        self.network.change(weather)
        return _answer(Outcome(200, self.network.report()))

    async def show_network(self, _: web.Request) -> web.StreamResponse:
        """GET /sandbox/network: what was injected so far."""
        return _answer(Outcome(200, self.network.report()))

    async def ledger(self, request: web.Request) -> web.StreamResponse:
        """GET /sandbox/ledger?after=&limit=: `{"items": [...]}`, oldest first, written in pieces."""
        self._settle()
        after, limit = _number(request, "after", 0), _number(request, "limit", None)
        effects = self._world.ledger(after or 0, limit)
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        await answer.prepare(request)
        await answer.write(b'{"items":[')
        for start in range(0, len(effects), LEDGER_PIECE):
            piece = b",".join(effects[start : start + LEDGER_PIECE])
            await answer.write(b"," + piece if start else piece)
        await answer.write(b"]}")
        await answer.write_eof()
        return answer

    async def health(self, _: web.Request) -> web.StreamResponse:
        """GET /health."""
        return _answer(Outcome(200, {"status": "healthy"}))

    # Writes

    async def _write(self, request: web.Request, decide: Decide, delay: float = 0.0) -> web.StreamResponse:
        """Do a write once per key. It goes on to its end even if the caller hangs up."""
        key, body = request.headers.get("Idempotency-Key", ""), await request.read()
        if not 0 < len(key) <= MAX_KEY:
            return _answer(refusal(400, "idempotency-key-missing", "send an Idempotency-Key of 1 to 255"))
        scope = f"{request.rel_url.raw_path} {key}"
        if delay and self._world.remembered(scope, body) is None:
            await asyncio.sleep(delay)  # a twin may come first meanwhile
        outcome = self._once(scope, body, lambda: decide(key, body))
        if outcome.hold_s:
            await _keep_silent(request, outcome.hold_s)
        return _answer(outcome)

    def _once(self, scope: str, body: bytes, decide: Callable[[], Outcome]) -> Outcome:
        known = self._world.remembered(scope, body)
        if known is not None:
            return known
        self._settle()
        outcome = self._world.settle(decide(), scope, body)
        self._settle()
        return outcome


async def _keep_silent(request: web.Request, seconds: float) -> None:
    await asyncio.sleep(seconds)
    if request.transport is not None:
        request.transport.abort()


def _answer(outcome: Outcome) -> web.Response:
    body = msgspec.json.encode(outcome.body)
    return web.Response(status=outcome.status, body=body, content_type="application/json")


def _id(request: web.Request) -> str:
    return request.match_info["id"]


def _number(request: web.Request, name: str, default: int | None) -> int | None:
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal()) or len(text) > 15:
        raise contract.Malformed(400, f"{name} is a whole number, 0 or more")
    return int(text)


@web.middleware
async def _problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every fault as JSON."""
    try:
        return await handler(request)
    except contract.Malformed as fault:
        return _answer(refusal(fault.status, "malformed", str(fault)))
    except web.HTTPException as fault:
        return _answer(refusal(fault.status, "http", HTTPStatus(fault.status).phrase))
    except ConnectionError:
        raise
    except OSError:
        return _answer(refusal(503, "journal", "the journal cannot be written"))
