"""Query parameters are read as strictly as bodies."""

from __future__ import annotations

import pytest

from order_service.api.operations import OPERATIONS
from order_service.core.lifecycle import Status
from order_service.requests import Principal

from .corpus import ORDERS
from .recorder import CALL_ID, ORDER_ID, Recorder
from .wire import Served

LIST = f"{ORDERS}/user/ada"
LOCAL = Principal("staff:local", "staff", None)


@pytest.mark.parametrize(
    ("query", "limit", "cursor", "status"),
    [
        ("", 20, None, None),
        ("?", 20, None, None),
        ("?limit=1", 1, None, None),
        ("?limit=100", 100, None, None),
        ("?cursor=bmV4dA", 20, "bmV4dA", None),
        ("?status=payment_failed", 20, None, Status.PAYMENT_FAILED),
        ("?status=shipped&limit=7&cursor=a.b%3D%3D", 7, "a.b==", Status.SHIPPED),
    ],
)
def test_a_list_is_asked_for_with_limit_cursor_and_status(
    api: Served, orders: Recorder, query: str, limit: int, cursor: str | None, status: Status | None
) -> None:
    assert api.get(LIST + query).status == 200
    assert orders.asked == [("of_user", LOCAL, "ada", limit, cursor, status)]


def test_each_of_the_nine_statuses_may_be_asked_for(api: Served, orders: Recorder) -> None:
    for status in Status:
        assert api.get(f"{LIST}?status={status}").status == 200
    assert [asked[5] for asked in orders.asked] == list(Status)


@pytest.mark.parametrize(
    ("query", "pointers"),
    [
        ("limit=0", ["?limit"]),
        ("limit=101", ["?limit"]),
        ("limit=-1", ["?limit"]),
        ("limit=", ["?limit"]),
        ("limit=1.0", ["?limit"]),
        ("limit=1e1", ["?limit"]),
        ("limit=+5", ["?limit"]),
        ("limit=%205", ["?limit"]),
        ("limit=05", ["?limit"]),
        ("limit=five", ["?limit"]),
        ("limit=%D9%A5", ["?limit"]),
        ("limit=99999999999999999999999999", ["?limit"]),
        ("limit=5&limit=5", ["?limit"]),
        ("status=", ["?status"]),
        ("status=Shipped", ["?status"]),
        ("status=nothing", ["?status"]),
        ("status=shipped&status=pending", ["?status"]),
        ("cursor=", ["?cursor"]),
        ("cursor=a%20b", ["?cursor"]),
        ("cursor=" + "x" * 513, ["?cursor"]),
        ("cursor=%C3%A4", ["?cursor"]),
        ("page=2", ["?page"]),
        ("Limit=5", ["?Limit"]),
        ("limit%00=5", ["?limit\0"]),
        ("limit=5%00", ["?limit"]),
        ("limit=%ff", ["?"]),
        ("limit", ["?"]),
        ("limit=1&&status=x", ["?"]),
        ("limit=0&status=x&cursor=&sort=asc", ["?sort", "?limit", "?cursor", "?status"]),
        ("&".join(f"a{n}={n}" for n in range(17)), ["?"]),
    ],
)
def test_every_bad_parameter_is_named(api: Served, orders: Recorder, query: str, pointers: list[str]) -> None:
    assert list(api.get(f"{LIST}?{query}").faults()) == pointers
    assert orders.asked == []


def test_a_cursor_that_is_not_the_services_is_a_fault_of_the_client(api: Served, orders: Recorder) -> None:
    orders.error = ValueError("no such cursor")
    assert api.get(f"{LIST}?cursor=abc").faults() == {"?cursor": "is not a cursor of this list"}


def test_no_other_operation_takes_parameters(api: Served, orders: Recorder) -> None:
    for operation in OPERATIONS:
        if operation.scopes and operation.name != "listOrders":
            target = operation.path.format(orderId=ORDER_ID, callId=CALL_ID)
            answer = api.request(operation.method, f"{target}?dryRun=true&x=1")
            assert answer.faults() == {
                "?dryRun": "is not a known parameter",
                "?x": "is not a known parameter",
            }, operation.name
    assert orders.asked == []
