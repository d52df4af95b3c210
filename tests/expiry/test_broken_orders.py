"""Orders whose timer cannot be handled are left alone, and the sweep goes on with the others."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import asyncpg

from order_service.dispatch import CLAIM_AT_ONCE
from order_service.embedded import Kafka
from tests.system.harness import System, basket

_BROKEN = CLAIM_AT_ONCE + 10
"""More than one sweep takes."""


def _past_the_guards(system: System, sql: str, ids: list[str]) -> None:
    """Write where no trigger looks."""

    async def work() -> None:
        connection = await asyncpg.connect(system.database)
        try:
            await connection.execute("set session_replication_role = replica")
            assert await connection.execute(sql, ids) == f"UPDATE {len(ids)}"
        finally:
            await connection.close()

    asyncio.run(work())


def _placed(system: System, count: int) -> list[str]:
    answers = system.parallel([("POST", "/api/v1/orders", basket(), {})] * count, at_once=16)
    assert {answer.status for answer in answers} == {201}
    return [answer.json["id"] for answer in answers]


def test_broken_orders_do_not_stop_the_sweep_and_expire_once_they_are_mended(
    database: str, kafka: Kafka, tmp_path: Path
) -> None:
    with System(database, kafka.bootstrap, tmp_path) as system:
        system.start_service(UNPAID_TTL="5")
        broken = _placed(system, _BROKEN)
        spoil = "update order_log set snapshot = {} where order_id = any($1::uuid[]) and version = 2"
        _past_the_guards(system, spoil.format("'x' || snapshot"), broken)
        sound = _placed(system, 20)
        ended = [system.await_order(order_id, status="cancelled", stock="released") for order_id in sound]
        assert {order["cancellation"]["code"] for order in ended} == {"expired"}
        due_before = "select count(*) as n from orders where status = 'pending' and timer_at < $1::text::timestamptz"
        assert system.rows(due_before, max(order["expiresAt"] for order in ended)) == [{"n": _BROKEN}]
        failed = [line for line in _log_lines(system) if line.get("event") == "timer_failed"]
        assert {line["order_id"] for line in failed} == set(broken)
        assert {line["level"] for line in failed} == {"error"}

        assert system.stop_service() == 0
        _past_the_guards(system, spoil.format("substr(snapshot, 2)"), broken)
        system.start_service(UNPAID_TTL="5")
        for order_id in broken:
            system.await_order(order_id, status="cancelled", stock="released")
        assert len(system.ledger(kind="release")) == _BROKEN + len(sound)


def _log_lines(system: System) -> list[dict[str, str]]:
    text = (system.folder / "service.log").read_text()
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]
