"""Health, for people and for what watches over the process."""

from __future__ import annotations

import msgspec

from order_service.api.answers import JSON, Answer
from order_service.api.exchange import Exchange
from order_service.api.refusals import NotReady, Unhealthy
from order_service.metrics import CONTENT_TYPE
from order_service.requests import Orders

_encode = msgspec.json.Encoder().encode
_TEXT = CONTENT_TYPE.encode()
_ALIVE = b'{"status":"ok"}'


class StatusRoutes:
    """The operations that tell how the service is."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders

    async def health(self, exchange: Exchange) -> Answer:
        """GET /health: 503 only when the database is away, for then nothing works."""
        checks = await self._orders.health()
        if checks.get("database", {}).get("status") != "up":
            raise Unhealthy(checks)
        healthy = all(check.get("status") == "up" for check in checks.values())
        body = {"status": "healthy" if healthy else "degraded", "checks": checks}
        return Answer(exchange, 200, JSON, _encode(body))

    async def livez(self, exchange: Exchange) -> Answer:
        """GET /livez: the process answers, whatever else is away."""
        return Answer(exchange, 200, JSON, _ALIVE)

    async def readyz(self, exchange: Exchange) -> Answer:
        """GET /readyz."""
        if not self._orders.ready:
            raise NotReady
        return Answer(exchange, 200, JSON, _ALIVE)

    async def metrics(self, exchange: Exchange) -> Answer:
        """GET /metrics: for Prometheus, without any id in it."""
        return Answer(exchange, 200, _TEXT, await self._orders.metrics())
