"""A whole system whose callers have credentials, for all tests of this folder that ask it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from order_service.embedded import Kafka, Postgres
from tests.auth.shop import Shop


class Running(NamedTuple):
    """The system, keys of callers, and the description that it serves."""

    shop: Shop
    staff: str
    customer: str
    described: dict[str, Any]


@pytest.fixture(scope="module")
def running(
    postgres: Postgres, template_database: str, kafka: Kafka, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """A fresh one for each file."""
    database = postgres.create_database(f"test_{secrets.token_hex(6)}", template=template_database)
    with Shop(database, kafka.bootstrap, tmp_path_factory.mktemp("openapi"), REQUEST_DEADLINE="4") as shop:
        shop.start_service()
        described = shop.call("GET", "/openapi.json").json
        yield Running(shop, shop.key("staff")["key"], shop.key("customer", "ada")["key"], described)
