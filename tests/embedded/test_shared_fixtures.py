"""The fixtures every other folder of tests stands on."""

from __future__ import annotations

import asyncio

import asyncpg
from confluent_kafka.admin import AdminClient

from order_service.embedded import Kafka


def test_the_test_database_takes_a_connection(database: str) -> None:
    async def ask() -> int:
        connection = await asyncpg.connect(database)
        try:
            return await connection.fetchval("SELECT 41 + 1")
        finally:
            await connection.close()

    assert asyncio.run(ask()) == 42


def test_the_test_broker_answers_and_is_alone(kafka: Kafka) -> None:
    assert list(AdminClient({"bootstrap.servers": kafka.bootstrap}).list_topics(timeout=20).brokers) == [1]
