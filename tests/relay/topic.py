"""What a consumer sees of a topic."""

from __future__ import annotations

import secrets
import time
from contextlib import closing
from typing import Any

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.cimpl import NewTopic

PATIENCE_S = 60.0
_NO_LEADER_YET = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)


class Seen(msgspec.Struct, frozen=True):
    """One record, with where it lies."""

    key: str
    headers: dict[str, str]
    value: bytes
    partition: int
    offset: int

    @property
    def id(self) -> str:
        """The event's id."""
        return self.headers["ce_id"]

    @property
    def sequence(self) -> int:
        """The event's number within its order."""
        return int(self.headers["ce_sequence"])

    @property
    def body(self) -> Any:
        """What the value says."""
        return msgspec.json.decode(self.value)


def topic_name() -> str:
    """A topic that nobody else uses."""
    return f"orders.events.{secrets.token_hex(4)}"


def make_topic(bootstrap: str, name: str, **config: str) -> None:
    """A topic with one partition and this configuration."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(name, 1, config=config)])[name].result(30)


def configure_topic(bootstrap: str, name: str, **config: str) -> None:
    """Change the topic's configuration."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    wanted = [ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in config.items()]
    resource = ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=wanted)
    admin.incremental_alter_configs([resource])[resource].result(30)


def everything(bootstrap: str, name: str) -> list[Seen]:
    """All records that lie in the topic at this moment, partition by partition."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": secrets.token_hex(6), "enable.auto.commit": False})
    with closing(consumer):
        partitions = [TopicPartition(name, p, 0) for p in _partitions(consumer, name)]
        missing = sum(_end(consumer, p) for p in partitions)
        consumer.assign(partitions)
        seen: list[Seen] = []
        deadline = time.monotonic() + PATIENCE_S
        while len(seen) < missing and time.monotonic() < deadline:
            message = consumer.poll(0.1)
            if message is not None and message.error() is None:
                seen.append(_seen(message))
    assert len(seen) == missing, "the topic could not be read to its end"
    return sorted(seen, key=lambda r: (r.partition, r.offset))


def _partitions(consumer: Consumer, name: str) -> list[int]:
    """The topic's partitions; of one that was just made the broker may know none for a moment."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        topic = consumer.list_topics(name, timeout=PATIENCE_S).topics[name]
        if topic.partitions or time.monotonic() > deadline:
            assert topic.error is None, topic.error
            return list(topic.partitions)
        time.sleep(0.1)


def _end(consumer: Consumer, place: TopicPartition) -> int:
    """Where the partition ends; one that was just made has no leader for a moment."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return consumer.get_watermark_offsets(place, timeout=PATIENCE_S)[1]
        except KafkaException as error:
            if error.args[0].code() not in _NO_LEADER_YET or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _seen(message: Message) -> Seen:
    headers = {name: value.decode() for name, value in message.headers() or []}
    return Seen(message.key().decode(), headers, message.value(), message.partition(), message.offset())


def sequences(records: list[Seen]) -> dict[str, list[int]]:
    """The numbers of each order's events, in the order in which they lie in their partition."""
    found: dict[str, list[int]] = {}
    for record in records:
        found.setdefault(record.key, []).append(record.sequence)
    return found


def first_seen(numbers: list[int]) -> list[int]:
    """The numbers without their repeats."""
    return list(dict.fromkeys(numbers))
