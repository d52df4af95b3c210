"""The truth at the partners, and every lawful answer to every call.

A reservation, a payment, a refund is one letter each, kept in strings by number: the world stays small.

| of | letters |
|---|---|
| a reservation | ``-`` never heard of, ``h`` held, ``n`` refused, ``x`` released, ``c`` committed, ``l`` lost |
| a payment | ``-`` never heard of, ``$`` captured, ``!`` captured after it was declined, ``d`` declined, |
| | ``v`` voided, ``w`` voided before it was heard of, ``p`` processing, ``a`` requires action, |
| | ``k`` requires capture |
| a refund | ``-`` never heard of, ``s`` succeeded, ``p`` pending, ``f`` failed |

The partners keep their contracts: one effect for one key, a refusal stays a refusal, and what was voided or released
never takes effect, however late it arrives. The payment service gives back whatever it is asked for: that we never
ask for too much is what the walk has to show.
"""

from __future__ import annotations

from typing import NamedTuple

from order_service.core.answers import (
    Answer,
    CallKind,
    CartCleared,
    Lied,
    PaymentState,
    PaymentUnknown,
    RefundState,
    RefundUnknown,
    Refused,
    Released,
    Reserved,
    ReserveRefused,
    StockCommitted,
    StockNotHeld,
    Unanswered,
)

NEVER = "-"
HELD = "h"
LOST = "l"
TAKEN = "$!"
VOID = "vw"
BACK = "sp"
"""A refund that is succeeded or pending: the payment service has promised the money to the customer."""

UNANSWERED = "unanswered"
_WORDS = {
    "$": "succeeded",
    "!": "succeeded",
    "d": "declined",
    "v": "voided",
    "w": "voided",
    "p": "processing",
    "a": "requires_action",
    "k": "requires_capture",
}
_REFUND_WORDS = {"s": "succeeded", "p": "pending", "f": "failed"}
_STOCK = (CallKind.RESERVE, CallKind.RELEASE, CallKind.COMMIT)
_REFUND = (CallKind.REFUND, CallKind.READ_REFUND)


class Truth(NamedTuple):
    """What the partners hold, by number: the first letter is reservation, payment or refund 1."""

    stock: str = ""
    payments: str = ""
    refunds: str = ""


class Effect(NamedTuple):
    """One thing a partner may make of a call: the letter it leaves behind, and what it answers."""

    letter: str
    answer: str


def letter(letters: str, number: int) -> str:
    """The letter of this number."""
    return letters[number - 1] if number <= len(letters) else NEVER


def written(letters: str, number: int, new: str) -> str:
    """The letters with this one changed."""
    padded = letters.ljust(number, NEVER)
    return padded[: number - 1] + new + padded[number:]


def field_of(kind: CallKind) -> int:
    """Which part of the truth a call of this kind is about; -1: none (the cart)."""
    if kind is CallKind.CLEAR_CART:
        return -1
    return 0 if kind in _STOCK else 2 if kind in _REFUND else 1


def effects(kind: CallKind, now: str, *, rare: bool) -> tuple[Effect, ...]:
    """Everything the partner may make of a call, where the truth is ``now``."""
    match kind:
        case CallKind.RESERVE:
            return _reserve(now)
        case CallKind.RELEASE:
            return (Effect("x", "released"),)
        case CallKind.COMMIT:
            return (Effect("c", "committed"),) if now in "hc" else (Effect(now, "not held"),)
        case CallKind.CLEAR_CART:
            return (Effect(now, "cleared"),)
        case CallKind.CHARGE:
            fresh = "$dpak" if rare else "$dp"
            return tuple(Effect(x, _WORDS[x]) for x in (fresh if now == NEVER else now))
        case CallKind.VOID:
            return _void(now)
        case CallKind.REFUND:
            return tuple(Effect(x, _REFUND_WORDS[x]) for x in ("spf" if now == NEVER else now))
        case CallKind.READ_REFUND:
            return (Effect(now, _REFUND_WORDS.get(now, "unknown")),)
        case _:
            unknown = (Effect(now, "unknown"),)
            if now == NEVER:
                return unknown
            return (Effect(now, _WORDS[now]), *(unknown if now == "w" else ()))


def _reserve(now: str) -> tuple[Effect, ...]:
    if now == NEVER:
        return (Effect("h", "reserved"), Effect("n", "refused stock"))
    return (Effect(now, "reserved" if now in "hc" else "refused stock"),)


def _void(now: str) -> tuple[Effect, ...]:
    if now in "-w":
        return (Effect("w", "voided"),)
    if now in "vak":
        return (Effect("v", "voided"),)
    if now == "p":
        return (Effect("v", "voided"), Effect("p", "processing"))
    return (Effect(now, _WORDS[now]),)


def of_itself(field: int, now: str) -> str:
    """What may become of a payment or a refund without anybody asking."""
    if field == 1:
        return {"p": "$d", "a": "$d", "k": "$v"}.get(now, "")
    return "sf" if field == 2 and now == "p" else ""


_ODD = {
    CallKind.RESERVE: "refused",
    CallKind.CHARGE: "refused",
    CallKind.REFUND: "refused",
    CallKind.VOID: "lied",
    CallKind.READ_PAYMENT: "lied",
    CallKind.CHECK_PAYMENT: "lied",
    CallKind.LATE_CHECK: "lied",
    CallKind.READ_REFUND: "lied",
}


def oddity(kind: CallKind) -> str | None:
    """The answer of this kind of call that parks it, if there is one."""
    return _ODD.get(kind)


_FIXED: dict[str, Answer] = {
    UNANSWERED: Unanswered("no answer"),
    "refused": Refused(400, "bad request"),
    "lied": Lied("not what was asked"),
    "reserved": Reserved(),
    "refused stock": ReserveRefused(),
    "released": Released(),
    "committed": StockCommitted(),
    "not held": StockNotHeld(),
    "cleared": CartCleared(),
}


def answer_of(kind: CallKind, subject: str, word: str, amount: int) -> Answer:
    """The word as the value that the rules know."""
    if word in _FIXED:
        return _FIXED[word]
    if kind in _REFUND:
        return RefundUnknown() if word == "unknown" else RefundState(subject, f"re {subject}", amount, word)  # type: ignore[arg-type]
    return PaymentUnknown() if word == "unknown" else PaymentState(word, f"pay {subject}", None, amount)  # type: ignore[arg-type]
