"""What was found, as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from order_service.verify.catalogue import BY_NAME
from order_service.verify.run import EXAMPLES, Tallies, Tally

SHOWN = 5
"""Orders named in the table; JSON has more."""


def as_json(tallies: Tallies, code: int, took_s: float) -> str:
    """The whole result as one JSON document."""
    return json.dumps(
        {
            "holds": code == 0,
            "exitCode": code,
            "tookS": round(took_s, 3),
            "invariants": [_invariant(name, tally) for name, tally in tallies.items()],
        },
        indent=1,
    )


def _invariant(name: str, tally: Tally) -> dict[str, Any]:
    known = BY_NAME[name]
    return {
        "invariant": name,
        "says": known.says,
        "result": result(tally),
        "rows": tally.rows,
        "violations": tally.violations,
        "examples": [{"orderId": order_id, "detail": detail} for order_id, detail in tally.examples],
        "inFlight": _orders(tally.in_flight, tally.beyond),
        "parked": _orders(tally.parked),
        "todo": known.advice,
    }


def _orders(found: dict[str, str], beyond: int = 0) -> dict[str, Any]:
    listed = [{"orderId": order_id, "detail": detail} for order_id, detail in list(found.items())[:EXAMPLES]]
    return {"count": len(found) + beyond, "examples": listed}


def result(tally: Tally) -> str:
    """In a few words."""
    if not tally.looked:
        return "not looked at"
    return "violated" if tally.violations else "holds"


_COLOURS = {"holds": "green", "violated": "bold red", "not looked at": "yellow"}


def show(tallies: Tallies, code: int, took_s: float, *, settle: bool) -> None:
    """Print the table, the orders behind it and what to do about them."""
    console = Console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("invariant", no_wrap=True)
    table.add_column("result", no_wrap=True)
    for name in ("rows", "violations", "in flight", "parked"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, tally in tallies.items():
        told = result(tally)
        counts = [str(n or "") for n in (tally.violations, len(tally.in_flight) + tally.beyond, len(tally.parked))]
        rows = f"{tally.rows:,}" if tally.looked else ""
        table.add_row(name, f"[{_COLOURS[told]}]{told}[/]", rows, *counts)
    console.print(table)
    for name, tally in tallies.items():
        _details(console, name, tally)
    console.print(f"\n{summary(tallies, code, settle=settle)} ({took_s:.1f} s)", soft_wrap=True)


def _details(console: Console, name: str, tally: Tally) -> None:
    if tally.violations:
        console.print(f"\n[bold red]{name}[/]: {escape(BY_NAME[name].says)}", soft_wrap=True)
        for order_id, detail in tally.examples[:SHOWN]:
            console.print(f"  {order_id}  {escape(detail)}", soft_wrap=True, highlight=False)
        _more(console, tally.violations)
        console.print(f"  To do: {escape(BY_NAME[name].advice)}", soft_wrap=True)
    for word, found in (("in flight", tally.in_flight), ("parked", tally.parked)):
        if found:
            console.print(f"\n{name}, {word}:", soft_wrap=True)
            for order_id, detail in list(found.items())[:SHOWN]:
                console.print(f"  {order_id}  {escape(detail)}", soft_wrap=True, highlight=False)
            _more(console, len(found))


def _more(console: Console, count: int) -> None:
    if count > SHOWN:
        console.print(f"  and {count - SHOWN} more; --json lists up to {EXAMPLES}")


def summary(tallies: Tallies, code: int, *, settle: bool) -> str:
    """One sentence."""
    violated = sum(bool(t.violations) for t in tallies.values())
    waiting = {name for t in tallies.values() for name in t.in_flight}
    unseen = sum(not t.looked for t in tallies.values())
    seen = len(tallies) - unseen
    rest = f"; {unseen} not looked at" if unseen else ""
    if violated:
        return f"{violated} of {seen} invariants are violated{rest}."
    if settle and waiting:
        beyond = max(t.beyond for t in tallies.values())
        return f"{len(waiting) + beyond} orders are still in flight{rest}."
    if code:
        return f"{seen} invariants hold, but not everything was looked at{rest} (--without NAME if that is meant)."
    return f"All {seen} invariants hold{rest}."
