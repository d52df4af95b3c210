"""Query parameters, read as strictly as bodies: unknown, repeated and unreadable ones are refused."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from order_service.api.exchange import Exchange
from order_service.api.refusals import Fault, ValidationFailed
from order_service.core.lifecycle import Status

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
MAX_CURSOR = 512
_MAX_FIELDS = 16
_NUMBER = re.compile("[1-9][0-9]{0,3}")
_CURSOR = re.compile(f"[!-~]{{1,{MAX_CURSOR}}}")


def no_query(exchange: Exchange) -> None:
    """Refuse every parameter: this operation has none."""
    if exchange.query:
        faults = [Fault(f"?{name}", "is not a known parameter") for name in _parse(exchange)]
        raise ValidationFailed(faults or [Fault("?", "this operation takes no parameters")])


def page_query(exchange: Exchange) -> tuple[int, str | None, Status | None]:
    """Limit, cursor and status of a list."""
    if not exchange.query:
        return DEFAULT_LIMIT, None, None
    found = _parse(exchange)
    faults: list[Fault] = []
    for name, values in found.items():
        if name not in ("limit", "cursor", "status"):
            faults.append(Fault(f"?{name}", "is not a known parameter"))
        elif len(values) > 1:
            faults.append(Fault(f"?{name}", "appears more than once"))
    limit, cursor, status = (found.get(name, [None])[0] for name in ("limit", "cursor", "status"))
    if limit is not None and not (_NUMBER.fullmatch(limit) and int(limit) <= MAX_LIMIT):
        faults.append(Fault("?limit", f"must be a whole number from 1 to {MAX_LIMIT}"))
    if cursor is not None and not _CURSOR.fullmatch(cursor):
        faults.append(Fault("?cursor", "is not a cursor of this list"))
    if status is not None and status not in set(Status):
        faults.append(Fault("?status", f"must be one of {', '.join(Status)}"))
    if faults:
        raise ValidationFailed(faults)
    return int(limit) if limit else DEFAULT_LIMIT, cursor, Status(status) if status else None


def _parse(exchange: Exchange) -> dict[str, list[str]]:
    """Name -> values, in the order in which the names came."""
    try:
        text = exchange.query.decode("ascii")
        pairs = parse_qsl(
            text, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=_MAX_FIELDS
        )
    except ValueError:
        raise ValidationFailed(
            [Fault("?", "must be pairs of name=value, percent-encoded in UTF-8, at most 16 of them")]
        ) from None
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        if "\0" in name or "\0" in value:
            raise ValidationFailed([Fault(f"?{name}", "must not contain a NUL character")])
        found.setdefault(name, []).append(value)
    return found
