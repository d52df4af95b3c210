"""Turns a decision into the rows it writes, in plain values; nothing here talks to the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from order_service.core.answers import CallKind
from order_service.core.messages import Asked, Call, Closing, Decision, End
from order_service.core.model import Attempt, OpenCall, Order, Refund
from order_service.randomness import random16
from order_service.store.hashing import FIRST_PREV_HASH, contacts_hash, row_hash
from order_service.store.load import Loaded

LONGEST_RETRY_S = 3600.0
"""A partner's wish to be left alone is honoured up to an hour."""


_encode = msgspec.json.Encoder().encode


class StoredReply(Struct, frozen=True):
    """An answer to be given again, byte by byte, to a request with the same Idempotency-Key."""

    status: int
    body: bytes
    version: int | None = None
    problem: bool = False


class KeyBinding(Struct, frozen=True):
    """An Idempotency-Key to be bound to what its request asks for, in the same statement as the effect.

    ``busy_s`` seconds from now a twin is told that the request is in flight; ``reply`` is set where the answer is
    final already.
    """

    principal: str
    route: str
    key: str
    fingerprint: bytes
    asked: Asked
    busy_s: float = 0
    reply: StoredReply | None = None


class Remember(Struct, frozen=True):
    """The final answer to a request whose key was bound earlier."""

    principal: str
    route: str
    key: str
    reply: StoredReply


class Entry(Struct, frozen=True):
    """One decision, and all that is written with it.

    ``base`` is what it was decided on, None for a new order; ``snapshot`` the JSON of the order as it becomes, encoded
    once for log, answer and next decision. ``call_token`` is the token of the lease under which
    ``decision.answered`` was called; it is required exactly when ``decision.answered`` is set. New calls without
    delay, and calls that a person wants sent again, are leased to this process for ``lease_s`` seconds; with
    ``lease_s`` 0 any process may claim them at once. A call that is sent again (``End.AGAIN``) is due after
    ``retry_in_s`` seconds, or later if its answer asked for that.

    A decision that writes nothing may still bind a key or remember replies.
    """

    decision: Decision
    decision_id: str
    base: Loaded | None
    snapshot: bytes
    actor: str
    correlation_id: str
    traceparent: str | None = None
    call_token: int | None = None
    key: KeyBinding | None = None
    remember: tuple[Remember, ...] = ()
    lease_s: float = 9
    retry_in_s: float = 1

    @property
    def order_id(self) -> str:
        """The order that the decision is about."""
        return self.decision.state.order.id


PARTS = {
    "key": "key",
    "state": "order",
    "log": "order",
    "call": "order",
    "fresh": "new",
    "item": "new",
    "contact": "new",
    "attempt": "money",
    "refund": "money",
    "token": "token",
    "end": "ended",
    "reply": "replies",
}
"""Rows -> the part of the statement that writes them; ``changed`` is the part for orders that existed before."""

Row = tuple[Any, ...]
"""The values of a row of ``commit_<table>``, a type of the database, behind ``n``, the number of the entry."""


class Prepared(Struct, frozen=True):
    """An entry as rows: made once, so that a repeat of the commit writes the very same bytes.

    ``tokens`` are the leases this process has once the entry is applied, ``after`` is the order as it then is.
    """

    entry: Entry
    rows: dict[str, list[Row]]
    tokens: dict[str, int]
    after: Loaded

    @property
    def awaited(self) -> bool:
        """Whether it does more than end or put off a call that only its own token guards."""
        return bool(self.rows.get("state") or self.rows.get("key") or self.rows.get("reply"))

    @property
    def changes(self) -> bool:
        """Whether it changes an order that was there before."""
        return self.entry.base is not None and bool(self.rows.get("state"))


def arguments(prepared: Sequence[Prepared]) -> tuple[dict[str, list[Row]], frozenset[str]]:
    """All rows by table, each with the number of its entry; and which parts of the statement they need."""
    found: dict[str, list[Row]] = {"entry": []}
    for n, one in enumerate(prepared):
        for table, rows in one.rows.items():
            if rows:
                found.setdefault(table, []).extend([(n, *row) for row in rows])
    parts = {PARTS[table] for table in found.keys() & PARTS.keys()}
    if any(one.changes for one in prepared):
        parts.add("changed")
    for table, part in PARTS.items():
        if part in parts:
            found.setdefault(table, [])
    return found, frozenset(parts)


def prepare(entry: Entry) -> Prepared:
    """The rows of one entry."""
    decision, base = entry.decision, entry.base
    assert (decision.answered is None) == (entry.call_token is None), "an answer comes with the token of its lease"
    assert decision.change is None or base is None or decision.state.order.version == base.version + 1
    gate = _gate(decision, base)
    rows: dict[str, list[Row]] = {"entry": [_entry_row(entry, gate)]}
    after = _after(entry, gate, rows)
    if gate != "none":
        rows["state"] = [_state_row(decision, after)]
    if gate == "new":
        rows["fresh"] = [_fresh_row(decision)]
        rows["item"] = [_item_row(line) for line in decision.state.order.items]
    _part_rows(decision, base, rows)
    version = decision.state.order.version
    rows["call"] = [(c.call_id, version, n, *_call_row(c, entry.lease_s)) for n, c in enumerate(decision.calls)]
    rows["end"] = [_end_row(closing, entry) for closing in decision.closings]
    if entry.key is not None:
        rows["key"] = [_key_row(entry.key)]
    rows["reply"] = [_reply_row(r) for r in entry.remember]
    return Prepared(entry, rows, _leases(entry), after)


def _gate(decision: Decision, base: Loaded | None) -> str:
    """``new``, ``changed`` (under the order's lock) or ``none`` (the token of the answered call is guard enough).

    What an order owes is part of what the rules look at: a call that ends without a version still has to be told to
    every decision that is made at the same time. Only calls whose end no rule asks for are left to their token.
    """
    if base is None:
        return "new"
    if decision.change is not None:
        return "changed"
    kinds = {c.call_id: c.kind for c in base.state.calls}
    return "none" if all(_is_private(c, kinds.get(c.call_id)) for c in decision.closings) else "changed"


def _is_private(closing: Closing, kind: CallKind | None) -> bool:
    if closing.end is End.AGAIN:
        return True
    ends = closing.end in (End.DONE, End.DROPPED)
    return ends and kind in (CallKind.CLEAR_CART, CallKind.LATE_CHECK)


def _after(entry: Entry, gate: str, rows: dict[str, list[Row]]) -> Loaded:
    """The order as it is once the entry is applied; writes the rows of log and contacts on the way."""
    decision, base = entry.decision, entry.base
    order = decision.state.order
    contacts, version, digest = (None, 0, b"") if base is None else _contacts_of(base)
    if decision.contacts is not None:
        contacts, version, salt = _encode(decision.contacts), order.version, random16()
        digest = contacts_hash(salt, contacts)
        rows["contact"] = [(version, contacts.decode(), salt)]
    snapshot = base.snapshot if base is not None else b""
    log_hash = base.log_hash if base is not None else FIRST_PREV_HASH
    if decision.change is not None:
        snapshot = entry.snapshot
        row = _log_row(entry, snapshot.decode(), digest, prev_hash=log_hash)
        rows["log"] = [row]
        log_hash = row[-1]
    revision = 0 if base is None else base.revision + (gate == "changed")
    return Loaded(decision.state, snapshot, contacts, version, digest, log_hash, revision, _tokens(entry))


def _contacts_of(base: Loaded) -> tuple[bytes | None, int, bytes]:
    return base.contacts, base.contacts_version, base.contacts_hash


def _entry_row(entry: Entry, gate: str) -> Row:
    base, order = entry.base, entry.decision.state.order
    seen = (None, None) if base is None else (base.version, base.revision)
    return (order.id, entry.decision_id, gate, *seen, order.order_number, entry.decision.answered, entry.call_token)


def _state_row(decision: Decision, after: Loaded) -> Row:
    order = decision.state.order
    money = order.payment
    return (
        *(order.status, order.stock, money.status, money.captured, money.refunded, order.refund_in_flight),
        *(order.settled_outside, order.version, order.updated_at, order.expires_at, decision.timer_at),
        *(order.attention.code if order.attention else None, after.contacts_version, order.event_sequence),
        after.log_hash,
    )


def _fresh_row(decision: Decision) -> Row:
    order = decision.state.order
    return (
        *(order.order_number, order.user_id, order.currency, order.subtotal, order.shipping_cost, order.tax),
        *(order.discount, order.total, order.created_at),
    )


def _item_row(line: Any) -> Row:
    return (line.line, line.product_id, line.sku, line.name, line.quantity, line.unit_price, line.total)


def _log_row(entry: Entry, snapshot: str, contacts_digest: bytes, *, prev_hash: bytes) -> Row:
    decision = entry.decision
    order = decision.state.order
    content: dict[str, Any] = {
        "version": order.version,
        "message": decision.message,
        "snapshot": snapshot,
        "change": _encode(decision.change).decode(),
        "actor": entry.actor,
        "reason": decision.reason,
        "correlation_id": entry.correlation_id,
        "traceparent": entry.traceparent,
        "at": order.updated_at,
        "first_sequence": order.event_sequence - len(decision.events) + 1,
        "events": decision.events,
        "contacts_hash": contacts_digest,
    }
    digest = row_hash(prev_hash, order_id=order.id, decision_id=entry.decision_id, **content)
    content["events"] = ",".join(decision.events)
    return (*content.values(), prev_hash, digest)


def _part_rows(decision: Decision, base: Loaded | None, rows: dict[str, list[Row]]) -> None:
    """The attempts and refunds that are new or have changed."""
    order = decision.state.order
    before: Order | None = base.state.order if base is not None else None
    old_attempts = set(before.payment.attempts) if before else set()
    old_refunds = set(before.refunds) if before else set()
    rows["attempt"] = [_attempt_row(a) for a in order.payment.attempts if a not in old_attempts]
    rows["refund"] = [_refund_row(r) for r in order.refunds if r not in old_refunds]
    rows["token"] = _token_rows(decision, before)


def _token_rows(decision: Decision, before: Order | None) -> list[Row]:
    """The payment token that is new: that of a new order, or of a new attempt."""
    state = decision.state
    if before is None:
        return [] if state.token is None else [(0, state.token)]
    attempts = len(state.order.payment.attempts)
    if attempts == len(before.payment.attempts):
        return []
    assert state.attempt_token is not None, "an attempt knows what it charges"
    return [(attempts, state.attempt_token)]


def _attempt_row(attempt: Attempt) -> Row:
    return (
        *(attempt.attempt, attempt.reference, attempt.status, attempt.amount, attempt.payment_id),
        *(attempt.decline_code, attempt.surplus, attempt.at, attempt.deadline_at),
    )


def _refund_row(refund: Refund) -> Row:
    return (
        *(refund.refund, refund.reference, refund.attempt, refund.amount, refund.status, refund.surplus),
        *(refund.reason, refund.refund_id, refund.note, refund.at),
    )


def _leased(call: Call, lease_s: float) -> bool:
    return call.due_in_s <= 0 and lease_s > 0


def _call_row(call: Call, lease_s: float) -> Row:
    mine = int(_leased(call, lease_s))
    due_s = lease_s if mine else call.due_in_s
    return (call.kind, call.subject, call.key, call.request, mine, mine, due_s, call.drop_after_s)


def _end_row(closing: Closing, entry: Entry) -> Row:
    """Columns: id, state, code and time of parking, outcome, how many sends are added, seconds until it is due."""
    state, code, since, attempts, due_s = "open", None, None, 0, None
    match closing.end:
        case End.DONE | End.DROPPED:
            state = str(closing.end)
        case End.PARKED:
            parked = next(c for c in entry.decision.state.calls if c.call_id == closing.call_id)
            state, code, since = "parked", parked.parked, parked.since
        case End.AGAIN:
            due_s = max(entry.retry_in_s, min(closing.retry_after_s or 0, LONGEST_RETRY_S))
            attempts = 0 if closing.sent else -1  # it was counted when it was leased
        case End.UNPARKED:
            attempts, due_s = int(entry.lease_s > 0), entry.lease_s
    return (closing.call_id, state, code, since, closing.outcome or None, attempts, due_s)


def _key_row(key: KeyBinding) -> Row:
    asked = key.asked
    reply = (None, None, None, None) if key.reply is None else _reply_columns(key.reply)
    scope = (key.principal, key.route, key.key, key.fingerprint)
    return (*scope, asked.kind, asked.number, asked.unchanged, key.busy_s, *reply)


def _reply_row(remember: Remember) -> Row:
    return (remember.principal, remember.route, remember.key, *_reply_columns(remember.reply))


def _reply_columns(reply: StoredReply) -> Row:
    return (reply.status, reply.body, reply.version, reply.problem)


def _leases(entry: Entry) -> dict[str, int]:
    """The calls that this process is to send once the entry is applied, with the token of each."""
    mine = {c.call_id: 1 for c in entry.decision.calls if _leased(c, entry.lease_s)}
    if entry.lease_s > 0 and entry.base is not None:
        for closing in entry.decision.closings:
            if closing.end is End.UNPARKED:
                mine[closing.call_id] = entry.base.tokens[closing.call_id] + 1
    return mine


def _tokens(entry: Entry) -> dict[str, int]:
    """The token of every call that is still owed."""
    before = entry.base.tokens if entry.base is not None else {}
    ended = {c.call_id for c in entry.decision.closings}
    leases = _leases(entry)

    def token(call: OpenCall) -> int:
        if call.call_id == entry.decision.answered and entry.call_token is not None:
            return entry.call_token + 1
        return leases.get(call.call_id, before.get(call.call_id, 0) + (call.call_id in ended))

    return {call.call_id: token(call) for call in entry.decision.state.calls}
