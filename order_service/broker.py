"""Records to Kafka, without ever holding up the event loop: in order per key, and never with a gap."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from order_service import faults
from order_service.events import Record

log = structlog.get_logger("broker")

PARTITIONS = 6
_METADATA_TIMEOUT_S = 5.0
_POLL_S = 0.1
# Records handed over before others have their turn in the event loop.
_AT_ONCE = 100
_ASIDE_S = 4 * _METADATA_TIMEOUT_S

REFUSED_FOR_GOOD = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_RECORD,
        KafkaError.INVALID_MSG,
    }
)
"""What no repeat will cure. A batch may be refused for one of its records: only a record sent alone is known bad."""


class Delivery:
    """A number of records on their way. ``errors`` has, by place, the error code of each that was not delivered."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.errors: dict[int, int] = {}
        self.settled = asyncio.Event()
        self._open = size
        self._loop = asyncio.get_running_loop()
        self._delivered = [False] * size

    @property
    def contiguous(self) -> int:
        """How many records, from the first on, are delivered without a gap."""
        return next((place for place, done in enumerate(self._delivered) if not done), len(self._delivered))

    def report(self, place: int, error: KafkaError | None, _: object = None) -> None:
        """One record is delivered or has failed; called in the producer's thread."""
        if error is None:
            self._delivered[place] = True
        else:
            self.errors[place] = error.code()
        self._open -= 1
        if self._open == 0 or error is not None:
            self._loop.call_soon_threadsafe(self.settled.set)


class Sender:
    """One idempotent producer and the thread that serves it.

    After the first failure it takes nothing more: what it still holds must be purged, and a new sender goes on from
    the last delivered record. So records of one key can never overtake each other.
    """

    def __init__(self, bootstrap: str, topic: str, *, client_id: str = "order-service-relay") -> None:
        self._topic = topic
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "client.id": client_id,
                "enable.idempotence": True,
                # A record that fails stops the producer, so that none of its key is delivered behind the gap.
                "enable.gapless.guarantee": True,
                "acks": "all",
                "message.timeout.ms": 0,
                "linger.ms": 2,
                # Above what the database lets into a row: the topic's own limit decides.
                "message.max.bytes": 2_000_000,
                "reconnect.backoff.max.ms": 1000,
                "topic.metadata.propagation.max.ms": 5000,
                # What the JVM clients do: a key has the same partition whoever writes it.
                "partitioner": "murmur2_random",
                "log_level": 3,
            },
            logger=_NoLog(),
        )
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="kafka-producer", daemon=True)
        self._thread.start()

    async def send(self, records: Sequence[Record]) -> Delivery:
        """Hand records over; the delivery is settled when all are delivered or one has failed."""
        await faults.passing("kafka.send", faults.BEFORE)
        delivery = Delivery(len(records))
        if not records:
            delivery.settled.set()
        for start in range(0, len(records), _AT_ONCE):
            if start > 0:
                await asyncio.sleep(0)
            if not self._hand_over(records[start : start + _AT_ONCE], start, delivery):
                break
        await faults.passing("kafka.send", faults.AFTER)
        return delivery

    def _hand_over(self, records: Sequence[Record], start: int, delivery: Delivery) -> bool:
        """Whether all were taken; the one that was not is told to have failed, and all behind it."""
        for place, record in enumerate(records, start):
            try:
                self._producer.produce(
                    self._topic,
                    key=record.key,
                    value=record.value,
                    headers=list(record.headers),
                    on_delivery=partial(delivery.report, place),
                )
            except (KafkaException, BufferError) as error:
                # Behind a record that was not taken nothing may follow.
                cause = error.args[0] if isinstance(error, KafkaException) else KafkaError(KafkaError._QUEUE_FULL)
                for missing in range(place, delivery.size):
                    delivery.report(missing, cause if missing == place else KafkaError(KafkaError._PURGE_QUEUE))
                return False
        return True

    async def close(self) -> None:
        """Forget what is still on its way; it may or may not be delivered. Harmless when repeated."""
        with suppress(KafkaException):  # a producer that does not end is left behind; it takes nothing more
            await faults.around("kafka.close", lambda: _aside(self._close))

    def _close(self) -> None:
        self._producer.purge(in_queue=True, in_flight=True, blocking=False)
        self._stopped.set()
        self._thread.join()
        self._poll(0)

    def _serve(self) -> None:
        while not self._stopped.is_set():
            self._poll(_POLL_S)

    def _poll(self, seconds: float) -> None:
        try:
            self._producer.poll(seconds)
        except KafkaException as error:
            # The end of this producer, told once; what became of each record is told by the record.
            log.warning("the producer has come to its end", error=error.args[0].str())


async def ensure_topic(bootstrap: str, topic: str, *, create: bool = True) -> None:
    """Make the topic if it is absent and we may; raises ``KafkaException`` when the broker cannot be asked."""
    await faults.around("kafka.topic", lambda: _aside(partial(_ensure_topic, bootstrap, topic, create)))


async def _aside(work: Callable[[], None]) -> None:
    """Run in a thread of its own that nobody has to wait for: the client library's own timeouts are not all it takes.

    Raises what ``work`` raises, or a ``KafkaException`` of a time-out when it has not ended in time.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def tell(error: BaseException | None) -> None:
        if not ended.done():
            ended.set_exception(error) if error is not None else ended.set_result(None)

    def run() -> None:
        error = None
        try:
            work()
        except Exception as raised:
            error = raised
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, error)

    threading.Thread(target=run, name="kafka-aside", daemon=True).start()
    try:
        async with asyncio.timeout(_ASIDE_S):
            await ended
    except TimeoutError:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "The client library did not come back.")) from None


def _ensure_topic(bootstrap: str, topic: str, create: bool) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 3}, logger=_NoLog())
    found = admin.list_topics(timeout=_METADATA_TIMEOUT_S).topics
    if topic in found and found[topic].error is None:
        return
    if not create:
        raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, f"There is no topic {topic}."))
    new = NewTopic(topic, num_partitions=PARTITIONS, replication_factor=-1)
    try:
        admin.create_topics([new], operation_timeout=_METADATA_TIMEOUT_S)[topic].result(2 * _METADATA_TIMEOUT_S)
        log.info("topic made", topic=topic, partitions=PARTITIONS)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise


class _NoLog:
    """librdkafka's own lines repeat what the relay logs once, in our words."""

    def log(self, *_: object, **__: object) -> None: ...
