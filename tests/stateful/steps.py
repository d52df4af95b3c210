"""What is done next: drawn by chance, and weighted so that orders come far."""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import strategies as st

from tests.stateful.basket import TOKENS, bodies

STATUSES = (
    *("pending", "payment_pending", "payment_failed", "confirmed", "processing"),
    *("shipped", "delivered", "cancelled", "refunded"),
)
_WEIGHTS = {
    "place": 2,
    "go_on": 9,
    "pay": 6,
    "pay_after_late_money": 2,
    "cancel": 2,
    "put": 5,
    "refund": 5,
    "mend": 5,
    "two_at_once": 4,
    "repeat": 4,
    "get": 1,
    "history": 1,
    "of_user": 2,
    "nobody": 1,
}
_WORDS = [word for word, weight in _WEIGHTS.items() for _ in range(weight)]
_ANY = st.integers(0, 1023)
_HOW = {"key": st.booleans(), "seen": st.sampled_from((0, 0, 0, 0, 1, 1, 2))}
_GIVEN = {
    "place": {"body": bodies(), "user": st.integers(0, 1), "key": st.booleans()},
    "go_on": {"which": _ANY, "token": st.sampled_from(("tok_visa", "tok_visa", "tok_declined"))},
    "pay": {"which": _ANY, "token": st.sampled_from((None, *TOKENS)), **_HOW},
    "pay_after_late_money": {"which": _ANY},
    "cancel": {"which": _ANY, **_HOW},
    "put": {"which": _ANY, "to": st.sampled_from((*STATUSES, "refunded", "refunded")), **_HOW},
    "refund": {"which": _ANY, "part": st.integers(0, 4), **_HOW},
    "mend": {"which": _ANY, "give_up": st.booleans(), "note": st.booleans()},
    "two_at_once": {"which": _ANY, "first": st.integers(0, 4), "second": st.integers(0, 4)},
    "repeat": {"which": _ANY, "other": st.booleans()},
    "get": {"which": _ANY},
    "history": {"which": _ANY},
    "of_user": {"user": st.integers(0, 1), "limit": st.integers(1, 4), "status": st.sampled_from((None, *STATUSES))},
    "nobody": {
        "what": st.sampled_from(
            ("GET ", "GET /history", "POST /payment", "POST /cancel", "PUT /status", "POST /refunds")
        )
    },
}


class Step(NamedTuple):
    """One thing to do; ``which`` among ``given`` chooses an order, or a request to repeat."""

    word: str
    given: dict[str, Any]


@st.composite
def steps(draw: st.DrawFn) -> Step:
    """Any step."""
    word = draw(st.sampled_from(_WORDS))
    return Step(word, {name: draw(strategy) for name, strategy in _GIVEN[word].items()})
