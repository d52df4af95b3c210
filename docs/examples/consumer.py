"""A consumer of orders.events that survives duplicates, restarts and SIGKILL. Needs confluent-kafka, nothing else.

    python docs/examples/consumer.py --brokers 127.0.0.1:9092 --database orders.db

What it keeps is one SQLite file: how far it has read (`positions`), every event once (`events`), and what it makes of
them, here a list of orders (`orders`). All three change in one transaction. So after a kill the position is never ahead
of the effects, and an event that comes again is found by (order id, sequence) and passed over.

Replace `apply` by what your service does with an event. Keep it in the same transaction.
"""

from __future__ import annotations

import argparse
import json
import signal
import sqlite3
import sys
from collections.abc import Sequence
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

SCHEMA = """
create table if not exists positions (
    topic text not null, partition integer not null, next_offset integer not null, primary key (topic, partition)
);
create table if not exists events (
    order_id text not null, sequence integer not null, type text not null, time text not null, order_version integer,
    primary key (order_id, sequence)
);
create table if not exists orders (
    order_id text primary key, status text not null, user_id text not null, currency text not null,
    total integer not null, captured integer not null, refunded integer not null
);
"""


class Broken(Exception):
    """What must not happen did happen: nothing more is read before a person has looked."""


def open_database(path: str) -> sqlite3.Connection:
    """The file, made if it is absent; a transaction that was committed survives a power cut."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("pragma journal_mode = wal")
    database.execute("pragma synchronous = full")
    database.executescript(SCHEMA)
    return database


def handle(database: sqlite3.Connection, messages: Sequence[Message]) -> None:
    """The effects of these records and the position behind them, in one transaction."""
    database.execute("begin immediate")
    try:
        for message in messages:
            if message.error() is not None:
                raise Broken(message.error().str())
            _event(database, message)
            database.execute(
                "insert into positions values (?, ?, ?) on conflict do update set next_offset = excluded.next_offset",
                (message.topic(), message.partition(), message.offset() + 1),
            )
        database.execute("commit")
    except BaseException:
        database.execute("rollback")
        raise


def _event(database: sqlite3.Connection, message: Message) -> None:
    headers = {name: value.decode() for name, value in message.headers() or []}
    order_id, sequence = headers["ce_subject"], int(headers["ce_sequence"])
    (last,) = database.execute(
        "select coalesce(max(sequence), 0) from events where order_id = ?", (order_id,)
    ).fetchone()
    if sequence <= last:
        return  # sent again: the same event as before, with the same bytes
    if sequence != last + 1:
        raise Broken(f"order {order_id}: event {sequence} follows {last}, so one is missing")
    database.execute(
        "insert into events values (?, ?, ?, ?, ?)",
        (order_id, sequence, headers["ce_type"], headers["ce_time"], int(headers["ce_orderversion"])),
    )
    apply(database, headers["ce_type"], json.loads(message.value() or b""))


def apply(database: sqlite3.Connection, type_: str, value: dict[str, Any]) -> None:
    """What this consumer does with a new event: it keeps the newest state of each order. Unknown types are welcome."""
    order = value["order"]
    money = order["payment"]
    database.execute(
        "insert or replace into orders values (?, ?, ?, ?, ?, ?, ?)",
        (order["id"], order["status"], order["userId"], order["currency"], order["total"], money["captured"],
         money["refunded"]),
    )  # fmt: skip


def assign(consumer: Consumer, database: sqlite3.Connection, topic: str) -> None:
    """Read every partition from where the database says; the broker's own idea of our position is not asked for."""
    found = consumer.list_topics(topic, timeout=30).topics[topic]
    if found.error is not None:
        raise Broken(found.error.str())
    known = dict(database.execute("select partition, next_offset from positions where topic = ?", (topic,)))
    consumer.assign([TopicPartition(topic, p, known.get(p, OFFSET_BEGINNING)) for p in found.partitions])


def run(brokers: str, path: str, topic: str, batch: int) -> None:
    """Read until SIGTERM or SIGINT."""
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _: stopping.append(got))
    database = open_database(path)
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": "orders-example",  # demanded by the library; no offset is ever committed under it
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",  # a position that the topic does not have any more is for a person
        }
    )
    try:
        assign(consumer, database, topic)
        while not stopping:
            messages = consumer.consume(batch, timeout=0.5)
            if messages:
                handle(database, messages)
    finally:
        consumer.close()
        database.close()


def main() -> int:
    """Run; exit code 1 with a sentence where a person has to look."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--brokers", default="127.0.0.1:9092")
    options.add_argument("--database", default="orders.db")
    options.add_argument("--topic", default="orders.events")
    options.add_argument("--batch", type=int, default=200, help="records per transaction at most")
    chosen = options.parse_args()
    try:
        run(chosen.brokers, chosen.database, chosen.topic, chosen.batch)
    except Broken as fault:
        print(f"consumer: {fault}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
