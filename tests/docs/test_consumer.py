"""The consumer of the documents, as a process on a real broker: doubled records, kills, restarts."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from order_service.broker import ensure_topic
from tests.docs.pages import ROOT
from tests.system.harness import Event, System, basket

SCRIPT = ROOT / "docs/examples/consumer.py"
ORDERS = 60


class Running:
    """The consumer's process and its database."""

    def __init__(self, bootstrap: str, topic: str, folder: Path) -> None:
        self._argv = [sys.executable, str(SCRIPT), "--brokers", bootstrap, "--topic", topic]
        self.path = folder / "orders.db"
        self._log = folder / "consumer.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, batch: int = 200) -> None:
        """Start it on the system's topic."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._argv, "--database", str(self.path), "--batch", str(batch)], stdout=log, stderr=log
            )

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        self._process.kill()
        self._process.wait()

    def terminate(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(20)

    @property
    def told(self) -> str:
        """What it has printed."""
        return self._log.read_text()

    def exit_code(self) -> int | None:
        """None while it runs."""
        assert self._process is not None
        return self._process.poll()

    def close(self) -> None:
        """Leave nothing behind."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        """Ask its database, also while it writes."""
        if not self.path.exists():
            return []
        database = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=5)
        try:
            return database.execute(sql).fetchall()
        except sqlite3.OperationalError:
            return []  # it has not made its tables yet
        finally:
            database.close()

    def seen(self) -> int:
        """How many events it has."""
        found = self.rows("select count(*) from events")
        count = found[0][0] if found else 0
        assert isinstance(count, int)
        return count

    def await_seen(self, holds: Callable[[int], bool]) -> int:
        """Wait until the number of its events is so."""
        deadline = time.monotonic() + 30
        while not holds(count := self.seen()):
            assert time.monotonic() < deadline, f"{count} events\n{self._log.read_text()}"
            time.sleep(0.005)
        return count


@pytest.fixture(scope="module")
def told(system: System) -> list[Event]:
    """The events of many orders, on a topic that has some of them twice, as after a relay that died."""
    orders = [order["id"] for order in _placed(system)]
    answers = system.parallel([("POST", f"/api/v1/orders/{order}/cancel", None, {}) for order in orders])
    assert {answer.status for answer in answers} == {200}
    system.await_no_open_calls()
    total = int(system.rows("select sum(event_sequence) as n from orders")[0]["n"])
    events = system.events(total)
    assert len(events) == total
    # What a relay does that died behind the acknowledgement: the last records once more, byte for byte.
    _send(system.bootstrap, system.topic, [(event, event.headers) for event in events[len(events) // 3 :]])
    return events


def _placed(system: System) -> list[dict[str, object]]:
    answers = system.parallel([("POST", "/api/v1/orders", basket(userId=f"events-{n}"), {}) for n in range(ORDERS)])
    assert {answer.status for answer in answers} == {201}
    return [answer.json for answer in answers]


def _send(bootstrap: str, topic: str, records: list[tuple[Event, dict[str, str]]]) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "log_level": 0})
    for event, headers in records:
        producer.produce(
            topic, key=event.key, value=event.raw, headers=list(headers.items()), partition=event.partition
        )
    assert producer.flush(20) == 0


@pytest.fixture
def consumer(system: System, tmp_path: Path) -> Iterator[Running]:
    running = Running(system.bootstrap, system.topic, tmp_path)
    yield running
    running.close()


def test_killed_mid_way_it_has_every_orders_sequence_exactly_once(told: list[Event], consumer: Running) -> None:
    total = len(told)
    for part in (0.2, 0.5, 0.8):
        before = consumer.seen()
        consumer.start(batch=1)
        reached = int(total * part)
        consumer.await_seen(lambda count, reached=reached: count >= reached)
        consumer.kill()
        assert before < consumer.seen() < total, "the kill came too late to be one mid-way"
    consumer.start(batch=50)
    consumer.await_seen(lambda count: count == total)
    time.sleep(1)  # the doubled records stand behind the others
    assert consumer.terminate() == 0

    found = consumer.rows("select order_id, sequence, type from events order by order_id, sequence")
    assert found == sorted((e.key, int(e.headers["ce_sequence"]), e.type) for e in told)
    for order in {row[0] for row in found}:
        sequence = [row[1] for row in found if row[0] == order]
        assert sequence == list(range(1, len(sequence) + 1))


def test_what_it_makes_of_the_events_is_what_the_service_says(
    told: list[Event], system: System, consumer: Running
) -> None:
    consumer.start()
    consumer.await_seen(lambda count: count == len(told))
    assert consumer.terminate() == 0

    newest = {event.key: event.value["order"] for event in told}
    rows = consumer.rows("select order_id, status, total, captured, refunded from orders")
    assert sorted(rows) == sorted(
        (i, o["status"], o["total"], o["payment"]["captured"], o["payment"]["refunded"]) for i, o in newest.items()
    )


def test_a_missing_event_stops_it_loudly(told: list[Event], system: System, tmp_path: Path) -> None:
    topic, event = f"{system.topic}.with-a-gap", told[0]
    asyncio.run(ensure_topic(system.bootstrap, topic))
    late = event.headers | {"ce_sequence": "99", "ce_id": f"{event.key}.99"}
    _send(system.bootstrap, topic, [(event, late)])

    consumer = Running(system.bootstrap, topic, tmp_path)
    consumer.start()
    System.until(lambda: consumer.exit_code() is not None)

    assert consumer.exit_code() == 1
    assert "one is missing" in consumer.told
    assert consumer.rows("select * from events") == consumer.rows("select * from positions") == []
