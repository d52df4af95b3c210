"""Systems that several tests of a module share: a start costs seconds, and orders do not meet each other."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from order_service.embedded import Kafka, Postgres
from tests.system.harness import Answer, System

SOON = {"REQUEST_DEADLINE": "1", "PARTNER_TIMEOUT": "2", "LEASE": "4"}
"""Short waits for partners, so that what happens after a wait happens soon."""


@contextmanager
def shared(postgres: Postgres, template: str, kafka: Kafka, folder: Path, **env: str) -> Iterator[System]:
    """A running system on a database of its own."""
    name = f"test_{secrets.token_hex(6)}"
    database = postgres.create_database(name, template=template)
    with System(database, kafka.bootstrap, folder, **env) as system:
        system.start_service()
        yield system
    postgres.drop_database(name)


def paid(system: System, token: str = "tok_visa", **changes: Any) -> dict[str, Any]:
    """A confirmed order."""
    order = system.place(**changes)
    assert system.pay(order["id"], token).status == 200
    return system.get(order["id"])


def shipped(system: System, token: str = "tok_visa", **changes: Any) -> dict[str, Any]:
    """An order whose goods have left."""
    order = paid(system, token, **changes)
    assert system.put(order["id"], "processing").status == 200
    assert system.put(order["id"], "shipped").status == 200
    return system.await_order(order["id"], status="shipped", stock="committed")


def refund(system: System, order: dict[str, Any], amount: int | None = None) -> Answer:
    """Staff give money back."""
    body = {"reason": "dent"} | ({} if amount is None else {"amount": amount})
    return system.call("POST", f"/api/v1/orders/{order['id']}/refunds", body)


def mend(system: System, order: dict[str, Any], action: str, **body: str) -> Answer:
    """A person retries or gives up the call that the order waits for."""
    call = order["attention"]["callId"]
    return system.call("POST", f"/api/v1/orders/{order['id']}/calls/{call}/{action}", body)


def await_attention(system: System, order: dict[str, Any], code: str) -> dict[str, Any]:
    """The order, once it waits for a person because of this."""

    def waits() -> dict[str, Any] | None:
        found = system.get(order["id"])
        return found if found["attention"] and found["attention"]["code"] == code else None

    found = system.until(waits)
    assert found is not None
    return found


def money(order: dict[str, Any]) -> tuple[str, int, int]:
    """Facet, captured, refunded."""
    return order["payment"]["status"], order["payment"]["captured"], order["payment"]["refunded"]


def kinds(system: System, order: dict[str, Any]) -> list[str]:
    """What the partners did for the order, the cart left out."""
    return [line["kind"] for line in system.ledger(order["id"]) if line["kind"] != "clear_cart"]
