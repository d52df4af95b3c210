"""The log to Kafka: what consumers get, and in which order."""

from __future__ import annotations

import asyncio

from order_service.core.lifecycle import Status
from order_service.core.messages import Cancel, SetStatus
from order_service.core.model import Shipment
from order_service.embedded import Kafka
from order_service.relay import READER
from order_service.store.reader import LogReader, resume_stream
from tests.store.given import entry, store

from .rig import records, relaying, until, until_relayed
from .topic import configure_topic, first_seen, make_topic, sequences, topic_name


async def test_a_record_is_a_cloud_event_in_binary_mode(database: str, kafka: Kafka) -> None:
    topic = topic_name()
    async with store(database) as s, relaying(database, kafka.bootstrap, topic):
        order = await s.reserved()
        order = await s.apply(entry(order, Cancel("no need"), correlation_id="corr-7", traceparent="00-aa-bb-01"))
        await until_relayed(s)
        created, cancelled, changed = await records(kafka.bootstrap, topic)
        oid = order.state.order.id
        at = await s.value('select to_char(at, \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\') from order_log where version = 3')
        assert created.headers["ce_type"] == "order.created"
        assert "traceparent" not in created.headers
        assert [r.key for r in (created, cancelled, changed)] == [oid] * 3
        assert cancelled.headers == {
            "ce_specversion": "1.0",
            "ce_id": f"{oid}.2",
            "ce_source": "/order-service",
            "ce_type": "order.cancelled",
            "ce_subject": oid,
            "ce_time": at,
            "ce_sequence": "2",
            "ce_orderversion": "3",
            "ce_correlationid": "corr-7",
            "content-type": "application/json",
            "traceparent": "00-aa-bb-01",
        }
        assert (changed.id, changed.headers["ce_type"]) == (f"{oid}.3", "order.status_changed")
        snapshot, change = (await s.pool.fetchrow("select snapshot, change from order_log where version = 3")) or ()
        assert cancelled.value == changed.value == b'{"order":%b,"change":%b}' % (snapshot.encode(), change.encode())
        assert cancelled.body["order"]["status"] == "cancelled"
        assert cancelled.body["change"]["fromStatus"] == "pending"


async def test_nothing_personal_is_in_a_record_unless_the_operator_wants_it(database: str, kafka: Kafka) -> None:
    quiet, full = topic_name(), topic_name()
    async with store(database) as s:
        await s.reserved()
        async with relaying(database, kafka.bootstrap, quiet):
            await until_relayed(s)
        [without] = await records(kafka.bootstrap, quiet)
        await s.pool.execute("update log_readers set epoch = 0, xid = '0', position = 0")
        async with relaying(database, kafka.bootstrap, full, personal=True):
            await until_relayed(s)
        [with_all] = await records(kafka.bootstrap, full)
    assert b"Ada" not in without.value
    assert b"tok_visa" not in without.value + with_all.value
    assert with_all.body["order"]["shippingAddress"]["name"] == "Ada Lovelace"
    assert with_all.body["order"]["notes"] == "ring twice"
    assert with_all.id == without.id


async def test_an_order_that_dies_before_it_was_public_says_nothing(database: str, kafka: Kafka) -> None:
    topic = topic_name()
    async with store(database) as s, relaying(database, kafka.bootstrap, topic):
        await s.cancelled(await s.placed())
        heard = await s.reserved()
        await until_relayed(s)
        found = await records(kafka.bootstrap, topic)
        assert [(r.key, r.headers["ce_type"]) for r in found] == [(heard.state.order.id, "order.created")]


async def test_a_topic_that_is_absent_is_made_with_six_partitions(database: str, kafka: Kafka) -> None:
    topic = topic_name()
    async with store(database) as s, relaying(database, kafka.bootstrap, topic):
        orders = await asyncio.gather(*[s.reserved() for _ in range(40)])
        await until_relayed(s)
        found = await records(kafka.bootstrap, topic)
        assert {r.key for r in found} == {o.state.order.id for o in orders}
        assert {r.partition for r in found} == set(range(6))


async def test_the_events_of_each_order_come_in_their_order_without_a_gap(database: str, kafka: Kafka) -> None:
    topic = topic_name()
    async with store(database) as s, relaying(database, kafka.bootstrap, topic, batch_rows=7):
        orders = await asyncio.gather(*[s.confirmed() for _ in range(30)])
        await asyncio.gather(*[s.cancelled(o) for o in orders])
        await until_relayed(s)
        found = await records(kafka.bootstrap, topic)
        assert sequences(found) == {o.state.order.id: [1, 2, 3, 4, 5, 6] for o in orders}


async def test_two_relays_at_once_are_one_owner_and_nothing_comes_twice(database: str, kafka: Kafka) -> None:
    topic = topic_name()
    async with (
        store(database) as s,
        relaying(database, kafka.bootstrap, topic) as one,
        relaying(database, kafka.bootstrap, topic) as two,
    ):
        orders = await asyncio.gather(*[s.confirmed() for _ in range(40)])
        await until_relayed(s)
        assert sorted([one.owner, two.owner]) == [False, True]
        assert sorted([one.published, two.published]) == [0, 160]
        found = await records(kafka.bootstrap, topic)
        assert sequences(found) == {o.state.order.id: [1, 2, 3, 4] for o in orders}


async def test_after_a_stop_another_relay_goes_on_at_once_where_it_ended(database: str, kafka: Kafka) -> None:
    topic = topic_name()
    async with store(database) as s:
        async with relaying(database, kafka.bootstrap, topic, lease_s=3600):
            await s.reserved()
            await until_relayed(s)
        async with relaying(database, kafka.bootstrap, topic, lease_s=3600):
            await s.reserved()
            await until_relayed(s)
            assert [r.sequence for r in await records(kafka.bootstrap, topic)] == [1, 1]


async def test_a_relay_whose_lease_was_taken_sends_nothing_more(database: str, kafka: Kafka) -> None:
    topic = topic_name()
    async with store(database) as s, relaying(database, kafka.bootstrap, topic) as relay:
        await s.reserved()
        await until_relayed(s)
        await s.pool.execute("update log_readers set lease_until = now()")
        thief = LogReader(s.pool, READER, "thief", lease_s=3600)
        assert await thief.acquire()
        await s.reserved()

        async def lost() -> bool:
            return not relay.owner

        await until(lost)
        assert thief.cursor < (await thief.read())[-1].cursor
        await thief.keep()


async def test_a_record_that_is_refused_for_good_parks_its_order_and_the_others_flow(
    database: str, kafka: Kafka
) -> None:
    topic = topic_name()
    await asyncio.to_thread(make_topic, kafka.bootstrap, topic, **{"max.message.bytes": "4000"})
    async with store(database) as s:
        before = [await s.confirmed() for _ in range(3)]
        large = await s.confirmed(metadata={"note": "x" * 5000})
        after = [await s.confirmed() for _ in range(3)]
        async with relaying(database, kafka.bootstrap, topic):
            await until_relayed(s)
            await s.cancelled(large)
            later = await s.confirmed()
            await until_relayed(s)
        found = await records(kafka.bootstrap, topic)
        fine = [o.state.order.id for o in (*before, *after, later)]
        first = {key: first_seen(numbers) for key, numbers in sequences(found).items()}
        assert first == {key: [1, 2, 3, 4] for key in fine}
        [parked] = await LogReader(s.pool, READER, "test").parked()
        assert (parked.order_id, parked.version) == (large.state.order.id, 2)
        assert parked.error.startswith("the broker refuses a record of ")


async def test_what_follows_a_refused_record_is_held_back_also_if_the_broker_would_take_it(
    database: str, kafka: Kafka
) -> None:
    topic = topic_name()
    await asyncio.to_thread(make_topic, kafka.bootstrap, topic, **{"max.message.bytes": "4000"})
    async with store(database) as s:
        order = await s.confirmed()
        order = await s.apply(entry(order, SetStatus(Status.PROCESSING, "x" * 5000)))
        await s.apply(entry(order, SetStatus(Status.SHIPPED, shipment=Shipment("dhl", "1"))))
        async with relaying(database, kafka.bootstrap, topic):
            await until_relayed(s)
        [parked] = await LogReader(s.pool, READER, "test").parked()
        assert (parked.order_id, parked.version) == (order.state.order.id, order.version)
        numbers = sequences(await records(kafka.bootstrap, topic))
        assert {key: first_seen(found) for key, found in numbers.items()} == {order.state.order.id: [1, 2, 3, 4]}


async def test_a_parked_order_goes_on_where_it_stopped_when_a_person_has_seen_to_it(
    database: str, kafka: Kafka
) -> None:
    topic = topic_name()
    await asyncio.to_thread(make_topic, kafka.bootstrap, topic, **{"max.message.bytes": "4000"})
    async with store(database) as s:
        large = await s.confirmed(metadata={"note": "x" * 5000})
        order_id = large.state.order.id
        parked = LogReader(s.pool, READER, "test").parked
        async with relaying(database, kafka.bootstrap, topic):
            await until_relayed(s)
        assert await resume_stream(s.pool, READER, order_id)
        async with relaying(database, kafka.bootstrap, topic):

            async def tried_again() -> bool:
                return not (await parked())[0].resume

            await until(tried_again)
        assert await records(kafka.bootstrap, topic) == []
        await asyncio.to_thread(configure_topic, kafka.bootstrap, topic, **{"max.message.bytes": "100000"})
        assert await resume_stream(s.pool, READER, order_id)
        await s.cancelled(large)
        async with relaying(database, kafka.bootstrap, topic):

            async def goes_on() -> bool:
                return await parked() == []

            await until(goes_on)
            await until_relayed(s)
        assert sequences(await records(kafka.bootstrap, topic)) == {order_id: [1, 2, 3, 4, 5, 6]}
        assert not await resume_stream(s.pool, READER, order_id)
