"""JSON of strangers: one object, no name twice, no numbers that are none."""

from __future__ import annotations

import json
from typing import Any


class NotStrict(ValueError):
    """Not the JSON that is asked for; the message says why."""


def read_object(raw: bytes) -> dict[str, Any]:
    """The object; raises ``NotStrict``. Two readers can disagree about a name that stands twice: it is refused."""
    try:
        found = json.loads(raw.decode("utf-8"), object_pairs_hook=_members, parse_constant=_no_constant)
    except NotStrict:
        raise
    except (ValueError, RecursionError):
        raise NotStrict("not JSON") from None
    if not isinstance(found, dict):
        raise NotStrict("not an object")
    return found


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotStrict("a name stands twice")
    return found


def _no_constant(_: str) -> Any:
    raise NotStrict("not a number of JSON")
