"""One order's timeline as people read it: every version of the log, with the facets and the events it sent."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import asyncpg
from rich.console import Console
from rich.markup import escape

from order_service.config import Settings
from order_service.running import endpoints
from order_service.store.load import is_id
from order_service.store.statements import connect_one, fetch


class NotThere(Exception):
    """The order, or the database it should be in, cannot be found; the message is one sentence."""


def read_timeline(settings: Settings, id_or_number: str) -> dict[str, Any]:
    """The order and its log; raises ``NotThere``."""
    dsn = endpoints(settings).get("database")
    if not dsn:
        raise NotThere("no database is known; set ORDER_SERVICE_DATABASE_URL or start the system with `make run`.")
    try:
        rows = asyncio.run(_rows(dsn, id_or_number.strip()))
    except (OSError, asyncpg.PostgresError) as error:
        raise NotThere(f"the database does not answer: {error}.") from None
    if not rows:
        raise NotThere(f"there is no order {id_or_number}.")
    return {"order": json.loads(rows[-1]["snapshot"]), "timeline": [_entry(row) for row in rows]}


async def _rows(dsn: str, id_or_number: str) -> list[asyncpg.Record]:
    connection = await connect_one(dsn, timeout=5, command_timeout=10)
    try:
        order_id = id_or_number if is_id(id_or_number) else None
        return await fetch(connection, "timeline", id=order_id, number=id_or_number.upper())
    finally:
        await connection.close()


def _entry(row: asyncpg.Record) -> dict[str, Any]:
    order = json.loads(row["snapshot"])
    first = row["first_sequence"] or 0
    return {
        "version": row["version"],
        "at": row["at"].isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "message": row["message"],
        "actor": row["actor"],
        "reason": row["reason"],
        "correlationId": row["correlation_id"],
        "status": order["status"],
        "stock": order["stock"],
        "payment": order["payment"]["status"],
        "events": [{"sequence": first + i, "type": kind} for i, kind in enumerate(row["events"] or ())],
    }


def render_timeline(found: dict[str, Any]) -> None:
    """Print the timeline: a line per version with what it changed, and a line per event it sent."""
    order = found["order"]
    money = order["payment"]
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"\n[bold]Order {order['orderNumber']}[/bold]  {order['id']}")
    console.print(
        f"{order['status']} · stock {order['stock']} · payment {money['status']}\n"
        f"total {order['total']} {order['currency']} in minor units · captured {money['captured']}"
        f" · refunded {money['refunded']}"
    )
    before: dict[str, Any] = {}
    for entry in found["timeline"]:
        reason = f' "{escape(entry["reason"])}"' if entry["reason"] else ""
        console.print(
            f"[dim]{entry['version']:>3}  {entry['at'][11:23]}[/dim]  {entry['message']}"
            f"[dim] by {escape(entry['actor'])}[/dim]{reason}"
        )
        console.print(f"{'':18} {_changes(before, entry)}")
        for event in entry["events"]:
            console.print(f"{'':18} [green]{event['sequence']:>2} {event['type']}[/green]")
        before = entry


def _changes(before: dict[str, Any], entry: dict[str, Any]) -> str:
    told = []
    for name, label in (("status", ""), ("stock", "stock "), ("payment", "payment ")):
        if before.get(name) != entry[name]:
            origin = f"{before[name]} → " if before else ""
            told.append(f"{label}{origin}{entry[name]}")
    return " · ".join(told) or "[dim]no facet changed[/dim]"


def show_order(settings: Settings, id_or_number: str, *, as_json: bool) -> None:
    """Print one order; raises ``NotThere``."""
    found = read_timeline(settings, id_or_number)
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        render_timeline(found)
