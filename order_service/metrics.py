"""What is counted and measured, in the terms of Prometheus. Never an id, a user or a free text as a label.

Counters and histograms are this process's own and reset with it. What the database knows (``Gauges``) is the same at
every replica: take the maximum, never the sum.
"""

from __future__ import annotations

import asyncio
import time
from functools import cache

import asyncpg
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from order_service.store.reader import horizon_blocker, lag_s
from order_service.store.statements import fetch, fetchrow

log = structlog.get_logger("metrics")

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
FRESH_S = 5.0
"""The database is asked at most this often, however many scrape."""

REGISTRY = CollectorRegistry()
_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 7.5)

REQUESTS = Counter("order_service_requests", "Requests answered.", ["method", "route", "status"], registry=REGISTRY)
REQUEST_SECONDS = Histogram(
    "order_service_request_seconds", "Time to answer.", ["method", "route"], buckets=_FAST, registry=REGISTRY
)
SHED = Counter(
    "order_service_requests_shed",
    "Requests turned away with 503 because too many were under way.",
    ["rank"],
    registry=REGISTRY,
)
BUSY = Gauge("order_service_requests_under_way", "Requests being worked on.", registry=REGISTRY)
BUSY_LIMIT = Gauge("order_service_requests_limit", "How many new orders may be under way.", registry=REGISTRY)
CALL_SECONDS = Histogram(
    "order_service_partner_call_seconds",
    "Time of one exchange with a partner.",
    ["partner", "kind"],
    buckets=_FAST,
    registry=REGISTRY,
)
CALL_ANSWERS = Counter(
    "order_service_partner_answers", "What partners answered.", ["partner", "kind", "answer"], registry=REGISTRY
)
BREAKER_OPEN = Gauge(
    "order_service_breaker_open", "1 while a partner is found away and only probed.", ["partner"], registry=REGISTRY
)
CALLS_KEPT_BACK = Counter(
    "order_service_calls_kept_back",
    "Owed calls that were due and not sent: the breaker was open, or repeats were too many.",
    ["partner", "reason"],
    registry=REGISTRY,
)
COMMIT_ENTRIES = Histogram(
    "order_service_commit_entries",
    "Decisions that shared one commit statement.",
    buckets=(1, 2, 4, 8, 16, 32, 64),
    registry=REGISTRY,
)
VERDICTS = Counter(
    "order_service_commit_verdicts",
    "What became of decisions; stale and locked are lost races, decided again.",
    ["verdict"],
    registry=REGISTRY,
)
STATUS_CHANGES = Counter("order_service_status_changes", "Moves of orders.", ["to"], registry=REGISTRY)
EXPIRED = Counter("order_service_expired", "Orders cancelled because nobody paid in time.", registry=REGISTRY)
PARKED = Counter("order_service_parked", "Calls that were stopped until a person looks.", ["kind"], registry=REGISTRY)
EVENTS = Counter("order_service_events_published", "Events that the broker has acknowledged.", registry=REGISTRY)

ORDERS = Gauge(
    "order_service_orders",
    "Orders by status; above 100,000 orders as the database's planner estimates them.",
    ["status"],
    registry=REGISTRY,
)
CALLS_OPEN = Gauge("order_service_calls_open", "Calls owed to partners and due.", registry=REGISTRY)
CALLS_PARKED = Gauge("order_service_calls_parked", "Calls that wait for a person.", registry=REGISTRY)
OLDEST_CALL = Gauge(
    "order_service_oldest_call_seconds", "Age of the oldest call owed and due; 0 if none is.", registry=REGISTRY
)
ATTENTION = Gauge("order_service_orders_with_attention", "Orders that need a person.", registry=REGISTRY)
RELAY_LAG = Gauge("order_service_relay_lag_seconds", "Age of the oldest log row not yet relayed.", registry=REGISTRY)
HORIZON = Gauge(
    "order_service_log_horizon_seconds",
    "Age of the oldest write transaction of the cluster, by the process that holds it: no reader of the log sees "
    "anything that was written after its begin.",
    ["kind", "database", "process"],
    registry=REGISTRY,
)
UP = Gauge("order_service_database_up", "Whether the database answered the last scrape.", registry=REGISTRY)

ProcessCollector(registry=REGISTRY)

# The child of a metric by its labels, remembered: looking one up costs more than counting. Labels are few (see above).
requests = cache(REQUESTS.labels)
request_seconds = cache(REQUEST_SECONDS.labels)
call_seconds = cache(CALL_SECONDS.labels)
call_answers = cache(CALL_ANSWERS.labels)
verdicts = cache(VERDICTS.labels)
status_changes = cache(STATUS_CHANGES.labels)


class Gauges:
    """Asks the database for what it knows, and renders everything."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._asked_at = float("-inf")
        self._lock = asyncio.Lock()

    async def render(self) -> bytes:
        """The exposition text; while the database is away, its gauges keep their last values."""
        async with self._lock:
            if time.monotonic() - self._asked_at > FRESH_S:
                try:
                    async with asyncio.timeout(3):
                        await self._ask()
                    UP.set(1)
                except Exception as fault:  # whatever is wrong with the database, the other metrics are wanted now
                    UP.set(0)
                    log.warning("metrics_without_database", fault=type(fault).__name__)
                self._asked_at = time.monotonic()
        return generate_latest(REGISTRY)

    async def _ask(self) -> None:
        owed = await fetchrow(self._pool, "owed")
        assert owed is not None, "an aggregate has one row"
        CALLS_OPEN.set(owed["due"])
        CALLS_PARKED.set(owed["parked"])
        OLDEST_CALL.set(owed["oldest_s"])
        ATTENTION.set(owed["attention"])
        for row in await fetch(self._pool, "orders_by_status"):
            ORDERS.labels(row["status"]).set(row["orders"])
        RELAY_LAG.set(await lag_s(self._pool, "relay") or 0)
        blocker = await horizon_blocker(self._pool)
        HORIZON.clear()
        if blocker is not None:
            HORIZON.labels(blocker.kind, blocker.database or "", blocker.name).set(blocker.age_s or 0)
