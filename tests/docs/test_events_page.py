"""The events that the page tells of, and the headers, are those that are sent."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tests.docs.pages import ROOT
from tests.system.harness import System

PAGE = (ROOT / "docs/events.md").read_text()


def _section(heading: str) -> str:
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


ROWS = {
    row[0]: re.findall(r"`(order\.\w+)`", row[1])
    for row in re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", _section("When what is sent"), re.MULTILINE)
}


class Life:
    """One order, and the events that each step of it sent."""

    def __init__(self, system: System, **changes: Any) -> None:
        self._system = system
        self.id: str = system.place(userId="events", **changes)["id"]

    def sent(self) -> list[str]:
        """Every event so far, in its order."""
        rows = self._system.rows("select events from order_log where order_id = $1::uuid order by version", self.id)
        return [event for row in rows for event in row["events"]]

    def by(self, step: Callable[[], Any]) -> list[str]:
        """What this step sends, and what follows from it."""
        before = len(self.sent())
        step()
        self._system.await_no_open_calls()
        return self.sent()[before:]

    def post(self, path: str, body: Any = None) -> None:
        """A request that must succeed."""
        answer = self._system.call("POST", f"/api/v1/orders/{self.id}/{path}", body)
        assert answer.status < 300, answer.body

    def put(self, status: str) -> Callable[[], Any]:
        """A move by hand."""
        return lambda: self._system.put(self.id, status)


def test_the_events_of_every_row_are_sent_when_the_page_says_so(system: System) -> None:
    paid = Life(system)
    found = {"stock reserved: the order becomes public": paid.sent()}
    pays = paid.by(lambda: system.pay(paid.id))
    found["pay starts"], found["captured"] = pays[:1], pays[1:]
    found["set to `processing`"] = paid.by(paid.put("processing"))
    found["shipped"] = paid.by(paid.put("shipped"))
    found["delivered"] = paid.by(paid.put("delivered"))
    found["a refund is done, part of the money"] = paid.by(
        lambda: paid.post("refunds", {"amount": 1, "reason": "a part"})
    )
    found["a refund is done, all of the money is back"] = paid.by(lambda: paid.post("refunds", {"reason": "all"}))

    failed = Life(system)
    found["declined, or voided, while `payment_pending`"] = failed.by(lambda: system.pay(failed.id, "tok_declined"))[1:]
    found["cancelled, also by expiry, once public"] = failed.by(lambda: failed.post("cancel"))

    free = {"productId": "leaflet", "name": "Leaflet", "quantity": 1, "unitPrice": 0}
    found["total 0, stock reserved"] = Life(system, items=[free], shippingCost=0, tax=0).sent()
    found["anything that changes only `stock`, `payment.status` or `attention`"] = []

    assert found == {name: events for name, events in ROWS.items() if name != "when"}


PERSONAL = {"shippingAddress", "billingAddress", "notes", "paymentMethod"}


def test_a_record_has_the_headers_of_the_page_and_nothing_personal(system: System) -> None:
    told = set(re.findall(r"^\| `([a-z_-]+)` \|", _section("A record"), re.MULTILINE))
    Life(system)

    for event in system.events(1):
        assert set(event.headers) | {"traceparent"} == told
        assert event.headers["ce_id"] == f"{event.key}.{event.headers['ce_sequence']}"
        assert set(event.value) == {"order", "change"}
        assert PERSONAL & set(event.value["order"]) == set()
