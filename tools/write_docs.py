"""Writes the pages that are made from the code's own tables: `python -m tools.write_docs`, or `make docs`.

The tables are the source; a test fails while a page is not what would be written.
"""

from __future__ import annotations

from pathlib import Path
from string import ascii_uppercase

from order_service.api import examples
from order_service.api.catalogue import CATALOGUE, Entry
from order_service.api.operations import EDGE, OPERATIONS
from order_service.core.lifecycle import BY_HAND, CANCELLABLE, LAWFUL, MOVES, PAYMENT_OWNED, PaymentFacet, Status, Stock

DOCS = Path(__file__).parents[1] / "docs"
_MADE = "<!-- Made by `make docs` from {source}. Change it there. -->\n"


def main() -> None:
    """Write every page."""
    for page, text in generated().items():
        (DOCS / page).write_text(text)
        print(f"docs/{page}")


def generated() -> dict[str, str]:
    """Name of the page -> its text."""
    return {"errors.md": errors(), "lifecycle.md": lifecycle()}


# --- errors ---


def errors() -> str:
    """The catalogue of problem codes."""
    entries = sorted(CATALOGUE.values(), key=lambda e: (e.status, e.code))
    index = "\n".join(f"| {e.status} | [`{e.code}`](#{e.code}) | {_plain(e.meaning)} |" for e in entries)
    every = ", ".join(f"[`{code}`](#{code})" for code in EDGE)
    return (
        "# Problem codes\n\n"
        + _MADE.format(source="order_service/api/catalogue.py")
        + f"""
Every refusal is a problem document (RFC 9457, `application/problem+json`). Its members:

| member | |
|---|---|
| `type` | the path of the code's page at the service itself, `/docs/errors/<code>`; the same text as here |
| `code` | stable; decide by it, never by `title` or `detail` |
| `title`, `detail` | sentences for people; they may change |
| `status` | the HTTP status |
| `correlationId` | finds the request in the logs; also in the header `X-Correlation-Id` |

Some codes bring more members, named below. Most refusals wrote nothing. These did, or may have:

- `payment-declined`: the attempt is part of the order.
- `out-of-stock` with `orderId`: that order was written. If it was being placed, it is cancelled and nothing is held;
  if it was being paid again, it can still be paid.
- `not-payable`, where the order was cancelled while it was being paid: what was captured goes back.
- `service-unavailable`, `conflict` and `internal-error`: unknown. Repeat the request with the same Idempotency-Key.

How to repeat: [idempotency](idempotency.md).

| status | code | meaning |
|---|---|---|
{index}

Any request may meet {every}.

"""
        + "\n".join(_error(entry) for entry in entries)
    )


def _error(entry: Entry) -> str:
    example = examples.problem(entry.code)
    users = [op for op in OPERATIONS if entry.code in op.problems]
    where = ", ".join(f"`{op.method} {op.path}`" for op in users) if entry.code not in EDGE else "any request"
    more = [name for name in example if name not in _COMMON]
    members = f"\n\nMore members: {', '.join(f'`{name}`' for name in more)}." if more else ""
    return (
        f"## {entry.code}\n\n"
        f"{entry.status}, *{entry.title}*. {_plain(entry.meaning)}\n\n"
        f"What to do: {_plain(entry.remedy)}\n\n"
        f"Met by: {where or 'requests that cannot be read'}.{members}\n"
    )


_COMMON = ("type", "title", "status", "code", "detail", "correlationId")


def _plain(docstring: str) -> str:
    return " ".join(docstring.split()).replace("``", "`").replace("|", "\\|")


# --- lifecycle ---


def lifecycle() -> str:
    """The nine statuses, the lettered moves between them, and what may stand beside each."""
    edges = [(origin, target, why) for origin, targets in MOVES.items() for target, why in targets.items()]
    lettered = list(zip(ascii_uppercase, edges, strict=False))
    assert len(lettered) == len(edges), "the alphabet is long enough"
    diagram = "\n".join(f"    {origin or '[*]'} --> {target}: {letter}" for letter, (origin, target, _) in lettered)
    moves = "\n".join(
        f"| {letter} | {(origin and f'`{origin}`') or '(none)'} | `{target}` | {why} |"
        for letter, (origin, target, why) in lettered
    )
    beside = "\n".join(
        f"| `{status}` | {_words(Stock, stocks)} | {_words(PaymentFacet, facets)} |"
        for status, (stocks, facets) in LAWFUL.items()
    )
    by_hand = ", ".join(f"`{target}` (from `{origin}`)" for target, origin in BY_HAND.items())
    return (
        "# The life of an order\n\n"
        + _MADE.format(source="order_service/core/lifecycle.py")
        + f"""
An order has one of nine statuses. It moves along the edges below and along no other: the rules check it, and a trigger
of the database refuses every other move, whoever asks for it.

```mermaid
stateDiagram-v2
{diagram}
    {_final()} --> [*]
```

| edge | from | to | by |
|---|---|---|---|
{moves}

`{_final()}` is the only status without a way out. A `cancelled` order whose money was not captured rests there.

## What a request may ask for

| | |
|---|---|
| `PUT status` sets by hand | {by_hand} |
| `PUT status` starts the flow of | `cancelled` (like `POST cancel`), `refunded` (a refund of all that is left) |
| only facts about a payment set | {_words(Status, PAYMENT_OWNED)} |
| an order may be cancelled while it is | {_words(Status, CANCELLABLE)} |

Asking for the status that the order has already is answered with 200 and changes nothing. Any other move is 409
[`unlawful-move`](errors.md#unlawful-move) with the statuses that are `allowed` now.

## What may stand beside a status

Nine words cannot say "cancelled, while the charge is still unanswered". So an order has two more facets: `stock`, what
the inventory holds for it, and `payment.status`, what is known of the money. Both are derived from the order's
reservations, attempts and refunds. Only these combinations exist; a CHECK of the database refuses others.

| status | `stock` | `payment.status` |
|---|---|---|
{beside}

The payment facet `none` beside `confirmed` and later statuses belongs to orders with a total of 0, which nobody has to
pay.
"""
    )


def _final() -> Status:
    return next(status for status, targets in MOVES.items() if status is not None and not targets)


def _words(order: type[Status] | type[Stock] | type[PaymentFacet], chosen: object) -> str:
    assert isinstance(chosen, frozenset | tuple)
    return ", ".join(f"`{word}`" for word in order if word in chosen)


if __name__ == "__main__":
    main()
