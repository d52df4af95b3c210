"""The three partners behind one real socket, each answer as the test wants it; what was asked stays on record."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiohttp import web

Effect = Callable[[], web.Response]
Plan = Callable[[Effect], Awaitable[web.Response]]


class Question(NamedTuple):
    """One request as the partner got it."""

    kind: str
    key: str
    body: dict[str, Any]


class ScriptedPartners:
    """Says yes to everything, once per key, unless a plan was made for the next request of that kind."""

    def __init__(self) -> None:
        self.url = ""
        self.offers = 0
        """How many reserves it takes in one request."""
        self.asked: list[Question] = []
        self.effects: list[Question] = []
        """What took effect: the first request with a key, if its plan let it through."""
        self._plans: defaultdict[str, deque[Plan]] = defaultdict(deque)
        self._known: dict[tuple[str, str], tuple[int, dict[str, Any]]] = {}
        self._came = asyncio.Condition()
        self._payments: dict[str, dict[str, Any]] = {}

    def plan(self, kind: str, *plans: Plan) -> None:
        """What happens to the next requests of this kind, one each."""
        self._plans[kind].extend(plans)

    def count(self, kind: str) -> int:
        """How many requests of this kind came."""
        return sum(question.kind == kind for question in self.asked)

    def took_effect(self, kind: str) -> int:
        """How often a request of this kind took effect."""
        return sum(question.kind == kind for question in self.effects)

    async def until_asked(self, kind: str, count: int = 1) -> None:
        """Wait for that many requests of this kind."""
        async with asyncio.timeout(20), self._came:
            await self._came.wait_for(lambda: self.count(kind) >= count)

    async def serve(self, request: web.Request) -> web.Response:
        """Every path of the three contracts that a test needs."""
        raw = await request.read()
        body = json.loads(raw) if raw else {}
        kind = _kind(request.method, request.path)
        question = Question(kind, request.headers.get("Idempotency-Key", ""), body)
        self.asked.append(question)
        async with self._came:
            self._came.notify_all()

        def effect() -> web.Response:
            status, answer = self._once(question, request.path)
            return web.json_response(answer, status=status)

        plans = self._plans[kind]
        return await plans.popleft()(effect) if plans else effect()

    def _once(self, question: Question, path: str) -> tuple[int, dict[str, Any]]:
        known = self._known.get((question.kind, question.key))
        if known is None or not question.key:
            known = self._known[question.kind, question.key] = self._first(question, path)
            self.effects.append(question)
        return known

    def _first(self, question: Question, path: str) -> tuple[int, dict[str, Any]]:
        body = question.body
        match question.kind:
            case "availability":
                found = [{"productId": i["productId"], "availableQuantity": 1000} for i in body["items"]]
                return 200, {"items": found} | ({"bulkReservations": self.offers} if self.offers else {})
            case "bulk":
                return 200, {"reservations": [self._among_others(one) for one in body["reservations"]]}
            case "reserve":
                return 201, {"reservationId": body["reservationId"]}
            case "charge":
                return self._charge(body)
            case "void":
                return self._void(body)
            case "refund":
                done = {"refundId": f"re-{body['reference']}", "status": "succeeded"}
                done |= {"reference": body["reference"], "amount": body["amount"]}
                self._payments[path.rsplit("/", 2)[1]]["refunds"].append(done)
                return 201, done
            case "read_payment":
                return 200, self._payments[path.rpartition("/")[2]]
            case _:
                return 200, {}

    def _among_others(self, one: dict[str, Any]) -> dict[str, Any]:
        question = Question("reserve", one["idempotencyKey"], one["reservation"])
        status, body = self._once(question, "")
        return {"reservationId": question.body["reservationId"], "status": status, "body": body}

    def _charge(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        declined = body["paymentMethod"]["token"] == "tok_declined"
        payment = {
            "paymentId": f"pay-{body['reference']}",
            "reference": body["reference"],
            "status": "declined" if declined else "succeeded",
            "amount": body["amount"],
            "currency": body["currency"],
            "declineCode": "no_funds" if declined else None,
        }
        self._payments[payment["paymentId"]] = payment | {"refunds": []}
        return 402 if declined else 201, payment

    def _void(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        known = self._payments.get(f"pay-{body['reference']}")
        status = known["status"] if known else "voided"
        amount, currency = (known["amount"], known["currency"]) if known else (0, None)
        payment_id = known["paymentId"] if known else None
        answer = {"reference": body["reference"], "paymentId": payment_id, "status": status}
        return 200, answer | {"amount": amount, "currency": currency}


def _kind(method: str, path: str) -> str:
    last = path.rpartition("/")[2]
    if path.startswith("/api/v1/inventory"):
        return {"reservations": "reserve"}.get(last, last)
    if path.startswith("/api/v1/carts"):
        return "clear_cart"
    if method == "GET":
        return "read_payment"
    return {"payments": "charge", "void": "void", "refunds": "refund"}[last]


@asynccontextmanager
async def scripted_partners() -> AsyncIterator[ScriptedPartners]:
    """Partners that listen on a free port."""
    partners = ScriptedPartners()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", partners.serve)
    runner = web.AppRunner(app, handler_cancellation=False, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    partners.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield partners
    finally:
        await runner.cleanup()


# --- plans ---


def held(until: asyncio.Event) -> Plan:
    """It takes effect at once, its answer waits."""

    async def plan(effect: Effect) -> web.Response:
        answer = effect()
        await until.wait()
        return answer

    return plan


def stuck() -> Plan:
    """It never takes effect and is never answered."""

    async def plan(_: Effect) -> web.Response:
        await asyncio.sleep(60)
        raise AssertionError("nobody waits that long")

    return plan


def says(status: int, body: dict[str, Any] | None = None, **headers: str) -> Plan:
    """This answer, and no effect."""

    async def plan(_: Effect) -> web.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.json_response(body or {}, status=status, headers=named)

    return plan
