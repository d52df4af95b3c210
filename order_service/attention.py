"""Orders that wait for a person, from a terminal: which there are, and what becomes of the call that stopped.

The list is read from the database; retry and give-up ask the running service, as any other client would.
"""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
import uuid
from datetime import datetime
from typing import Any
from urllib.parse import quote

import asyncpg
from rich.console import Console
from rich.markup import escape

from order_service.config import Settings
from order_service.running import endpoints
from order_service.store.statements import connect_one, fetch

ANSWERED_WITHIN_S = 15.0
LISTED = 1000
"""Orders listed at most: whoever has more of them needs another remedy than one order at a time."""


class NotDone(Exception):
    """What was asked for could not be done; the message is one sentence."""


def list_attention(settings: Settings, *, as_json: bool) -> None:
    """Print the orders that wait for a person, the longest waiting first; raises ``NotDone``."""
    dsn = endpoints(settings).get("database")
    if not dsn:
        raise NotDone("no database is known; set ORDER_SERVICE_DATABASE_URL or start the system with `make run`.")
    try:
        items = asyncio.run(_waiting(dsn))
    except (OSError, ValueError, asyncpg.InterfaceError, asyncpg.PostgresError) as error:
        raise NotDone(f"the database does not answer: {error or type(error).__name__}.") from None
    if as_json:
        print(json.dumps({"items": items}, indent=1))
    else:
        _render(items)


async def _waiting(dsn: str) -> list[dict[str, Any]]:
    connection = await connect_one(dsn, timeout=5, command_timeout=10)
    try:
        rows = await fetch(connection, "attention", limit=LISTED)
    finally:
        await connection.close()
    return [
        {
            "orderId": row["id"],
            "orderNumber": row["order_number"],
            "userId": row["user_id"],
            "status": row["status"],
            "code": row["code"],
            "since": _time(row["since"]),
            "callId": row["call_id"],
            "kind": row["kind"],
            "outcome": row["outcome"],
        }
        for row in rows
    ]


def _time(value: datetime) -> str:
    return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _render(items: list[dict[str, Any]]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    if not items:
        console.print("No order waits for a person.")
    for item in items:
        console.print(f"[bold]{item['orderNumber']}[/bold]  {item['status']}  since {item['since']}  {item['code']}")
        console.print(f"  {escape(item['kind'] or 'call')}: {escape(item['outcome'] or 'no answer')}")
        console.print(f"  [dim]order-service retry {item['orderId']} {item['callId']}[/dim]")


def retry_call(settings: Settings, order_id: str, call_id: str, *, as_json: bool) -> None:
    """Have a call sent again, or the refund started that follows a failed one; raises ``NotDone``."""
    _told(_ask(settings, order_id, call_id, "retry", {}), "The call is sent again", as_json=as_json)


def give_up_call(settings: Settings, order_id: str, call_id: str, note: str | None, *, as_json: bool) -> None:
    """End a call by hand; raises ``NotDone``."""
    body = {} if note is None else {"note": note}
    _told(_ask(settings, order_id, call_id, "give-up", body), "The call is given up", as_json=as_json)


def _told(order: dict[str, Any], done: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(order, indent=1))
        return
    waits = order["attention"]
    still = f"; the order still waits for a person ({waits['code']}, call {waits['callId']})" if waits else ""
    print(f"{done}: order {order['orderNumber']} is {order['status']}, payment {order['payment']['status']}{still}.")


def _ask(settings: Settings, order_id: str, call_id: str, action: str, body: dict[str, str]) -> dict[str, Any]:
    base = endpoints(settings)["api"]
    path = f"/api/v1/orders/{quote(order_id, safe='')}/calls/{quote(call_id, safe='')}/{action}"
    headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4()), **_credentials(settings)}
    request = urllib.request.Request(  # noqa: S310 - the address of our own service
        f"{base}{path}", method="POST", data=json.dumps(body).encode(), headers=headers
    )
    try:
        with urllib.request.urlopen(request, timeout=ANSWERED_WITHIN_S) as answer:  # noqa: S310
            order: dict[str, Any] = json.load(answer)
            return order
    except urllib.error.HTTPError as error:
        raise NotDone(_sentence(error)) from None
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise NotDone(
            f"no service answers at {base} ({reason}); start one with `make run` in another terminal."
        ) from None
    except ValueError as error:
        raise NotDone(f"what answers at {base} is not this service ({error}).") from None


def _credentials(settings: Settings) -> dict[str, str]:
    return {"Authorization": f"Bearer {settings.api_key.get_secret_value()}"} if settings.api_key else {}


def _sentence(error: urllib.error.HTTPError) -> str:
    if error.code in (401, 403):
        return (
            "the service must know who calls: set ORDER_SERVICE_API_KEY to a key of scope staff, "
            "made by `order-service keys create`."
        )
    try:
        problem = json.load(error)
        faults = "; ".join(f"{fault['pointer']} {fault['detail']}" for fault in problem.get("errors", []))
        return f"{problem['detail']} {f'({faults})' if faults else ''}".strip()
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"the service answered with {error.code}."
