"""Owners that die, brokers that go away: what consumers see of it is delay, and repeats of at most one batch."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import pytest
from confluent_kafka import KafkaError

from order_service.broker import Sender
from order_service.embedded import Kafka, ports
from order_service.events import Record
from order_service.relay import READER, Relay
from order_service.store.reader import LogReader
from tests.store.given import store

from .rig import records, relaying, replica, until, until_relayed
from .topic import Seen, configure_topic, first_seen, make_topic, sequences, topic_name


def once(found: list[Seen]) -> dict[str, bytes]:
    """What each event says; a repeat must say the same."""
    said: dict[str, bytes] = {}
    for record in found:
        assert said.setdefault(record.id, record.value) == record.value
    return said


async def test_another_process_takes_over_from_an_owner_that_was_killed(database: str, kafka: Kafka) -> None:
    topic = topic_name()
    async with store(database) as s:
        orders = [await s.confirmed() for _ in range(20)]
        owner = await replica(database, kafka.bootstrap, topic, lease_s=1)

        async def some_are_relayed() -> bool:
            return bool(await s.value("select count(*) from log_readers where position > 0"))

        await until(some_are_relayed)
        owner.kill()
        await owner.wait()
        orders += [await s.confirmed() for _ in range(20)]
        async with relaying(database, kafka.bootstrap, topic, lease_s=1):
            await until_relayed(s)
        found = await records(kafka.bootstrap, topic)
        assert len(once(found)) == 160
        for order in orders:
            assert first_seen(sequences(found)[order.state.order.id]) == [1, 2, 3, 4]


async def test_an_owner_that_is_frozen_past_its_lease_sends_nothing_when_it_wakes(database: str, kafka: Kafka) -> None:
    topic = topic_name()
    async with store(database) as s:
        await s.reserved()
        frozen = await replica(database, kafka.bootstrap, topic, lease_s=1)
        await until_relayed(s)
        frozen.send_signal(19)
        await s.reserved()
        async with relaying(database, kafka.bootstrap, topic, lease_s=10) as relay:
            await until_relayed(s)
            frozen.send_signal(18)
            for _ in range(5):
                await s.reserved()
            await until_relayed(s)
            assert relay.published == 6
        frozen.kill()
        await frozen.wait()
        found = await records(kafka.bootstrap, topic)
        assert len(found) == len(once(found)) == 7


async def test_a_broker_that_is_killed_and_comes_back_costs_only_delay(database: str, tmp_path: Path) -> None:
    topic = topic_name()
    with Kafka(tmp_path, prepare_next_boot=False) as kafka:
        async with store(database) as s, relaying(database, kafka.bootstrap, topic) as relay:
            orders = [await s.confirmed() for _ in range(5)]
            await until_relayed(s)
            kafka.kill()
            orders += [await s.confirmed() for _ in range(5)]
            assert relay.published == 20
            kafka.start()
            await until_relayed(s)
            found = await records(kafka.bootstrap, topic)
        assert len(once(found)) == 40
        for order in orders:
            assert first_seen(sequences(found)[order.state.order.id]) == [1, 2, 3, 4]


@pytest.mark.parametrize("batch_rows", [1, 200], ids=["alone", "in a batch"])
async def test_behind_a_record_that_fails_nothing_is_sent_and_the_cursor_stays(
    database: str, kafka: Kafka, batch_rows: int
) -> None:
    topic = topic_name()
    # Every record is older than this when it arrives: refused with an error that is not for good.
    await asyncio.to_thread(make_topic, kafka.bootstrap, topic, **{"message.timestamp.before.max.ms": "0"})
    async with store(database) as s:
        orders = [await s.reserved() for _ in range(3)]
        silent = await s.value("select min(position) from order_log")
        async with relaying(database, kafka.bootstrap, topic, batch_rows=batch_rows) as relay:

            async def complains() -> bool:
                return relay.last_error is not None

            await until(complains)
            assert relay.last_error == f"a record was not delivered (error {KafkaError.INVALID_TIMESTAMP})"
            assert await s.value("select position from log_readers") == silent
            assert await LogReader(s.pool, READER, "test").parked() == []
            wide = {"message.timestamp.before.max.ms": str(2**62)}
            await asyncio.to_thread(configure_topic, kafka.bootstrap, topic, **wide)
            await until_relayed(s)
        assert sequences(await records(kafka.bootstrap, topic)) == {order.state.order.id: [1] for order in orders}


async def test_the_client_library_gives_up_no_record_by_itself() -> None:
    sender = Sender(f"127.0.0.1:{ports.free_port()}", topic_name())
    delivery = await sender.send([Record(b"key", b"value", ())])
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3):
            await delivery.settled.wait()
    assert delivery.errors == {}
    await sender.close()


async def test_a_relay_that_starts_before_its_broker_waits_for_it(database: str, tmp_path: Path) -> None:
    topic = topic_name()
    kafka = Kafka(tmp_path, prepare_next_boot=False)
    kafka.start()
    bootstrap = kafka.bootstrap
    kafka.kill()
    async with store(database) as s, relaying(database, bootstrap, topic) as relay:
        await s.reserved()

        async def complains() -> bool:
            return relay.last_error is not None

        await until(complains)
        kafka.start()
        await until_relayed(s)
        assert relay.published == 1
    kafka.stop()


async def test_a_stop_while_the_broker_is_away_gives_the_lease_back(database: str, tmp_path: Path) -> None:
    topic = topic_name()
    with Kafka(tmp_path, prepare_next_boot=False) as kafka:
        async with store(database) as s:
            async with relaying(database, kafka.bootstrap, topic, lease_s=3600):
                await s.reserved()
                await until_relayed(s)
                kafka.kill()
                await s.reserved()
                await asyncio.sleep(0.3)
            assert await LogReader(s.pool, READER, "next").acquire()
            ahead = "select count(*) from order_log l, log_readers r where l.xid > r.xid and cardinality(l.events) > 0"
            assert await s.value(ahead) == 1


async def test_a_broken_log_stops_the_relay_before_the_break(database: str, kafka: Kafka) -> None:
    topic = topic_name()
    async with store(database) as s:
        sound, broken = await s.reserved(), await s.reserved()
        await s.pool.execute("alter table order_log disable trigger append_only")
        await s.pool.execute(
            "update order_log set first_sequence = 2 where order_id = $1::uuid and version = 2", broken.state.order.id
        )
        async with relaying(database, kafka.bootstrap, topic) as relay:

            async def complains() -> bool:
                return relay.last_error is not None

            await until(complains)
            assert relay.last_error == (
                f"The log is broken at order {broken.state.order.id}, version 2: "
                "it does not follow the version before it."
            )
            assert relay.published == 0
        assert sound.version == 2


@pytest.mark.parametrize("steps", range(5))
async def test_a_keeper_told_to_end_while_the_lease_is_being_prolonged_ends(steps: int) -> None:
    class Reader:
        """A lease that is prolonged when the test says so."""

        asked = asyncio.Event()
        prolonged = asyncio.Event()

        async def keep(self) -> None:
            self.asked.set()
            await self.prolonged.wait()

    reader = Reader()
    keeper = asyncio.create_task(Relay("", "", lease_s=0.1)._keep(cast(LogReader, reader)))
    await reader.asked.wait()
    reader.prolonged.set()
    for _ in range(steps):
        await asyncio.sleep(0)
    keeper.cancel()
    await asyncio.wait({keeper}, timeout=5)
    assert keeper.cancelled()
