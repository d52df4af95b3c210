"""What one request to a sandbox partner comes to."""

from typing import Any

import msgspec

from order_service.sandbox.journal import Change, Effect


class Outcome(msgspec.Struct, frozen=True):
    """The answer, and what has to be in the journal before it is given.

    `remember`: the same key and bytes get this answer for ever. `hold_s`: seconds to keep the
    connection open and then drop it without the answer.
    """

    status: int
    body: dict[str, Any]
    change: Change | None = None
    effect: Effect | None = None
    remember: bool = True
    hold_s: float = 0.0


def refusal(status: int, code: str, detail: str) -> Outcome:
    """Say no, and remember nothing."""
    return Outcome(status, {"code": code, "detail": detail}, remember=False)
