"""What schemathesis cannot know from the description: loaded by it, in a process of its own.

Nothing here hides an answer. Each hook turns a request that the description calls sound into one that it means, and
touches nothing that the description forbids.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

import schemathesis

from order_service.core.lifecycle import Status

_KEY = re.compile("[!-~]{1,255}")
_CURSOR = re.compile("[!-~]{1,512}")
_MOST = 2**53 - 1


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Make the request mean what it says."""
    _fresh_key(case)
    _no_invented_cursor(case)
    _no_match_of_a_number(case)
    if isinstance(case.body, dict):
        case.body.update(_whole(case.body))
        _payable(case.body)
        _shipment_with_shipped(case.body)


def _fresh_key(case: Any) -> None:
    """A key names one request: the same one with another body is refused, however sound the body is."""
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and _KEY.fullmatch(key):
        case.headers["Idempotency-Key"] = secrets.token_hex(8)


def _no_invented_cursor(case: Any) -> None:
    """A cursor comes from the page before; a made-up one is refused, and the description calls it opaque."""
    cursor = (case.query or {}).get("cursor")
    if isinstance(cursor, str) and _CURSOR.fullmatch(cursor):
        del case.query["cursor"]


def _no_match_of_a_number(case: Any) -> None:
    """In its coverage phase schemathesis 4.32 sends If-Match: 0 and calls that sound, against the pattern."""
    match = (case.headers or {}).get("If-Match")
    if case.meta is not None and case.meta.generation.mode.is_positive and match == "0":
        case.headers["If-Match"] = "*"


def _whole(value: Any) -> Any:
    """JSON Schema takes 2.0 for an integer, the service does not: what is sent as an integer is written as one."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _whole(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_whole(entry) for entry in value]
    return value


def _payable(body: dict[str, Any]) -> None:
    """What depends on more than one request, or on a sum: an order to be paid without a method has one of its own.

    A schema cannot add up either: amounts that are each within bounds are made so small that their sum is too.
    """
    if not isinstance(body.get("items"), list):
        return
    if body.get("paymentMethod") is None:
        body["paymentMethod"] = {"token": "tok_visa"}
    for item in body["items"]:
        if isinstance(item, dict):
            _smaller(item, "unitPrice", 1000)
    _smaller(body, "shippingCost", 1000)
    _smaller(body, "tax", 1000)
    _smaller(body, "discount", 0)


def _smaller(holder: dict[str, Any], name: str, most: int) -> None:
    value = holder.get(name)
    if type(value) is int and 0 <= value <= _MOST:
        holder[name] = min(value, most)


def _shipment_with_shipped(body: dict[str, Any]) -> None:
    """The description says that they go together, in words (if, then) that schemathesis does not follow."""
    if isinstance(body.get("shipment"), dict) and body.get("status") in list(Status):
        body["status"] = "shipped"
