"""All that the system holds, by the order it belongs to: what tells whether a request has left anything."""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.system.harness import System

Rows = dict[str, dict[str, tuple[int, str]]]

_TABLES = """
    select table_name,
           max(case when column_name = 'order_id' then 'order_id' end) as order_column
    from information_schema.columns where table_schema = 'public' group by table_name order by table_name
"""
_MOVES_BY_ITSELF = "log_readers"
"""Where the relay stands: it follows the log, whose rows are looked at themselves."""


class Footprint(NamedTuple):
    """Table -> order (or ``''``) -> rows and their digest; order -> effects at partners; order -> types of events."""

    rows: Rows
    effects: dict[str, list[str]]
    events: dict[str, list[str]]

    def orders(self) -> set[str]:
        """The orders that exist anywhere."""
        found = {owner for owners in self.rows.values() for owner in owners}
        return (found | set(self.effects) | set(self.events)) - {""}

    def of(self, order: str) -> dict[str, Any]:
        """All of one order, exactly."""
        return {
            "rows": {table: owners[order] for table, owners in self.rows.items() if order in owners},
            "effects": self.effects.get(order, []),
            "events": self.events.get(order, []),
        }

    def shape(self, order: str) -> dict[str, Any]:
        """The same with the mere number of rows: alike for orders that went the same way."""
        found = self.of(order)
        return found | {"rows": {table: count for table, (count, _) in found["rows"].items()}}

    def nobodys(self) -> dict[str, tuple[int, str]]:
        """The rows that belong to no order."""
        return {table: owners[""] for table, owners in self.rows.items() if "" in owners}


def footprint(system: System, events: int) -> Footprint:
    """As it is now that nothing is owed any more; waits for at least so many events."""
    system.await_no_open_calls()
    rows = {
        table["table_name"]: _owners(system, table["table_name"], table["order_column"])
        for table in system.rows(_TABLES)
        if table["table_name"] != _MOVES_BY_ITSELF
    }
    effects: dict[str, list[str]] = {}
    for entry in system.ledger():
        effects.setdefault(entry.get("orderId") or "", []).append(entry["kind"])
    told: dict[str, list[str]] = {}
    for event in system.events(events):
        told.setdefault(event.key, []).append(event.type)
    return Footprint(rows, {order: sorted(kinds) for order, kinds in effects.items()}, told)


def _owners(system: System, table: str, order_column: str | None) -> dict[str, tuple[int, str]]:
    owner = "t.id::text" if table == "orders" else f"t.{order_column}::text" if order_column else "''"
    digest = "md5(string_agg(t::text, '|' order by t::text))"
    found = system.rows(f"select {owner} as owner, count(*) as rows, {digest} as digest from {table} t group by 1")
    return {row["owner"]: (row["rows"], row["digest"]) for row in found}
