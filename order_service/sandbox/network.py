"""A network that lies: what happens to a request between the service and the honest partners behind.

The partners' truth is never touched: an effect is in the ledger or it is not, whatever the caller is told. Faults are
drawn from one seeded source, in the order in which requests come.

| fault | what the caller sees | the effect |
|---|---|---|
| `request-lost` | the connection is cut | none |
| `request-late` | the connection is cut | seconds later |
| `request-twice` | one answer | asked for twice at once, so once |
| `answer-lost` | the connection is cut | done |
| `answer-late` | the answer, seconds later | done at once |
| `error-before`, `error-after` | 500, 502, 503 or 429, some with Retry-After | none; done |
| `garbage` | HTML, half a JSON document, an encoding nobody asked for, 2 MiB | done |
| `lie` | JSON of the right status that says something else | done |
| `never` | nothing, until it hangs up | none, or done |
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Annotated, Literal, get_args

import msgspec
from aiohttp import web
from msgspec import Meta

Fault = Literal[
    "request-lost",
    "request-late",
    "request-twice",
    "answer-lost",
    "answer-late",
    "error-before",
    "error-after",
    "garbage",
    "lie",
    "never",
]
FAULTS: tuple[Fault, ...] = get_args(Fault)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Rate = Annotated[float, Meta(ge=0, le=1)]
Seconds = Annotated[float, Meta(ge=0, le=600)]

_PARTNERS = "/api/v1/"
_HUGE = 2 * 2**20
_ERRORS = ((500, None), (502, None), (503, "1"), (503, None), (429, "1"))
_JSON = "application/json"


class Weather(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """PUT /sandbox/network: how often each fault happens (0 to 1, all together at most 1), and how slow is slow."""

    seed: int = 0
    rates: dict[Fault, Rate] = {}
    late_s: Seconds = 2.0
    silent_s: Seconds = 30.0


class Network:
    """Stands in front of every partner route. Fine weather until somebody says otherwise."""

    def __init__(self) -> None:
        self._weather = Weather()
        self._dice = random.Random(0)  # noqa: S311 - repeatable, no secret
        self._under_way: set[asyncio.Task[web.StreamResponse]] = set()
        self.exchanges = 0
        self.counts: Counter[str] = Counter()

    def change(self, weather: Weather) -> None:
        """From now on. Requests that are late already still arrive."""
        self._weather = weather
        self._dice = random.Random(weather.seed)  # noqa: S311

    def report(self) -> dict[str, object]:
        """What was injected so far, and what comes."""
        counts = {fault: self.counts[fault] for fault in FAULTS}
        return {"weather": self._weather, "exchanges": self.exchanges, "counts": counts}

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Pass a partner's request on, or do to it what the dice say."""
        if not request.path.startswith(_PARTNERS):
            return await handler(request)
        self.exchanges += 1
        fault = self._draw()
        if fault is None:
            return await handler(request)
        self.counts[fault] += 1
        await request.read()  # whole, before anything happens to its connection
        return await self._do(fault, request, handler)

    def _draw(self) -> Fault | None:
        drawn = self._dice.random()
        for fault in FAULTS:
            drawn -= self._weather.rates.get(fault, 0.0)
            if drawn < 0:
                return fault
        return None

    async def _do(self, fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
        match fault:
            case "request-lost":
                return _cut(request)
            case "request-late":
                self._later(self._weather.late_s * self._dice.uniform(0.5, 1.5), request, handler)
                return _cut(request)
            case "request-twice":
                answers = await asyncio.gather(handler(request), handler(request))
                return self._dice.choice(answers)
            case "error-before":
                return self._error()
            case "never":
                return await self._never(request, handler)
        answer = await handler(request)
        match fault:
            case "answer-late":
                await asyncio.sleep(self._weather.late_s)
                return answer
            case "error-after":
                return self._error()
            case "garbage":
                return self._garbage(answer)
            case "lie":
                return self._lie(answer)
            case _:
                return _cut(request)

    def _later(self, seconds: float, request: web.Request, handler: Handler) -> None:
        async def arrive() -> web.StreamResponse:
            await asyncio.sleep(seconds)
            return await handler(request)

        task = asyncio.create_task(arrive())
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _never(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._dice.random() < 0.5:
            await handler(request)
        await asyncio.sleep(self._weather.silent_s)
        return _cut(request)

    def _error(self) -> web.Response:
        status, retry_after = self._dice.choice(_ERRORS)
        headers = {} if retry_after is None else {"Retry-After": retry_after}
        return web.Response(status=status, text="upstream trouble", headers=headers)

    def _garbage(self, answer: web.StreamResponse) -> web.Response:
        status, body = answer.status, _body(answer)
        match self._dice.randrange(4):
            case 0:
                return web.Response(status=status, text="<html><h1>It works!</h1></html>", content_type="text/html")
            case 1:
                return web.Response(status=status, body=body[: len(body) // 2], content_type=_JSON)
            case 2:
                headers = {"Content-Encoding": "gzip"}
                return web.Response(status=status, body=body, headers=headers, content_type=_JSON)
            case _:
                return web.Response(status=status, body=b"[" + b"0," * (_HUGE // 2) + b"0]", content_type=_JSON)

    def _lie(self, answer: web.StreamResponse) -> web.Response:
        body = self._dice.choice(
            (b"[]", b'"yes"', b'{"reference":"another","reservationId":"another","status":"fine"}')
        )
        return web.Response(status=answer.status, body=body, content_type=_JSON)


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _body(answer: web.StreamResponse) -> bytes:
    body = answer.body if isinstance(answer, web.Response) else None
    return bytes(body) if isinstance(body, bytes | bytearray) else b"{}"
