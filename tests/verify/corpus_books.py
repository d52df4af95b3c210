"""What can be wrong within our own books: each line breaks what it names and nothing else."""

from __future__ import annotations

from order_service.verify.run import Limits
from tests.verify.spoil import Spoilt

_AT_ONCE = Limits(relay_s=0)


def _last(end: str) -> str:
    return f"order_id = '{{{end}}}' and version = (select version from orders where id = '{{{end}}}')"


def _back_from(end: str, origin: str, target: str) -> str:
    """A dead order comes back to life in its newest version, and every book agrees."""
    return f"""update order_log set snapshot = regexp_replace(snapshot, '"status":"{origin}"', '"status":"{target}"')
where {_last(end)};
update orders set status = '{target}', timer_at = now() + interval '1 hour' where id = '{{{end}}}';
insert into order_history select order_id, version, '{origin}', '{target}', actor, reason, correlation_id, at
from order_log where {_last(end)}"""


HISTORY = [
    Spoilt(
        "a version is gone",
        "H1 versions-contiguous, E1 events-not-invented",
        sql="delete from order_log where order_id = '{confirmed}' and version = 2",
    ),
    Spoilt(
        "the newest version is gone",
        "H1 versions-contiguous",
        sql=f"delete from order_log where {_last('declined')}",
    ),
    Spoilt(
        "an order ahead of its log",
        "H1 versions-contiguous",
        sql="update orders set version = version + 1 where id = '{pending}'",
    ),
    Spoilt(
        "the creation is missing",
        "H1 history-is-a-path, H3 history-equals-log",
        sql="delete from order_history where order_id = '{confirmed}' and version = 1",
    ),
    Spoilt(
        "created into the middle",
        "H1 history-is-a-path, H3 history-equals-log",
        sql="update order_history set to_status = 'payment_pending' where order_id = '{pending}'",
    ),
    Spoilt(
        "an order somewhere else than its history",
        "H1 history-is-a-path, H1 order-equals-log",
        sql="update orders set status = 'delivered' where id = '{shipped}'",
    ),
    Spoilt(
        "another currency than that of the log",
        "H1 order-equals-log",
        sql="update orders set currency = 'EUR' where id = '{confirmed}'",
    ),
    Spoilt(
        "another stock than that of the log",
        "H1 order-equals-log",
        sql="update orders set stock = 'reserved' where id = '{shipped}'",
    ),
    Spoilt(
        "a refund of another attempt",
        "H1 parts-equal-log",
        sql="update refunds set attempt = 2 where order_id = '{partly_refunded}'",
    ),
    Spoilt(
        "another payment behind the same attempt",
        "H1 parts-equal-log",
        sql="update payment_attempts set payment_id = 'pay_0' where order_id = '{confirmed}'",
    ),
    Spoilt(
        "a snapshot that cannot be read",
        "H1 order-equals-log, H2 hash-chain-holds",
        sql=f"update order_log set snapshot = '???' where {_last('charge_parked')}",
    ),
    Spoilt(
        "another reason, later",
        "H2 hash-chain-holds",
        sql="update order_log set reason = 'they said so' where order_id = '{pending}' and version = 2",
    ),
    Spoilt(
        "another address, later",
        "H2 hash-chain-holds",
        sql="update order_contacts set document = replace(document, 'Main', 'Maine') where order_id = '{pending}'",
    ),
    Spoilt(
        "another end of the chain",
        "H2 hash-chain-holds",
        sql="update orders set log_hash = sha256('x') where id = '{pending}'",
    ),
    Spoilt(
        "a chain that begins anew",
        "H2 hash-chain-holds",
        sql="update order_log set prev_hash = sha256('x') where order_id = '{delivered}' and version = 3",
    ),
    Spoilt(
        "somebody else did it",
        "H3 history-equals-log",
        sql="update order_history set actor = 'nobody' where order_id = '{confirmed}' and version = 1",
    ),
    Spoilt(
        "it happened at another time",
        "H3 history-equals-log",
        sql="update order_history set at = at + interval '1 second' where order_id = '{confirmed}' and version = 1",
    ),
    Spoilt(
        "time went back",
        "H3 time-goes-forward",
        sql=f"update order_log set at = at - interval '1 hour' where {_last('declined')}",
        rechain="declined",
    ),
    Spoilt(
        "nobody did it",
        "H3 time-goes-forward",
        sql=f"update order_log set actor = '' where {_last('declined')}",
        rechain="declined",
    ),
    Spoilt(
        "a cancelled order is pending again",
        "H4 final-is-final",
        sql=_back_from("unpaid_cancelled", "cancelled", "pending"),
        rechain="unpaid cancelled",
    ),
    Spoilt(
        "a cancelled order can be paid again",
        "H4 final-is-final",
        sql=_back_from("voided", "cancelled", "payment_failed"),
        rechain="voided",
    ),
    Spoilt(
        "numbers that jump",
        "E2 log-numbers-events",
        sql=f"update order_log set first_sequence = first_sequence + 5 where {_last('declined')}",
        rechain="declined",
    ),
    Spoilt(
        "an event more than the log has",
        "E2 log-numbers-events",
        sql="update orders set event_sequence = event_sequence + 1 where id = '{pending}'",
    ),
    Spoilt(
        "a relay that has sent nothing",
        "E5 relay-keeps-up",
        sql="update log_readers set epoch = 0, xid = '0', position = 0 where name = 'relay'",
        limits=_AT_ONCE,
    ),
    Spoilt("no relay at all", "E5 relay-keeps-up", sql="delete from log_readers", limits=_AT_ONCE),
]

KEYS = [
    Spoilt(
        "a key of no order",
        "I1 replies-name-their-order",
        sql="update idempotency_keys set order_id = gen_random_uuid() "
        "where order_id = '{confirmed}' and asked_kind = 'pay'",
    ),
    Spoilt(
        "a key of an attempt that is not there",
        "I1 replies-name-their-order",
        sql="update idempotency_keys set asked_number = 9 where order_id = '{confirmed}' and asked_kind = 'pay'",
    ),
    Spoilt(
        "a key of a refund that is not there",
        "I1 replies-name-their-order",
        sql="update idempotency_keys set asked_number = 2 "
        "where order_id = '{partly_refunded}' and asked_kind = 'refund'",
    ),
    Spoilt(
        "an order placed by another request",
        "I1 replies-name-their-order",
        sql="update idempotency_keys set decision_id = gen_random_uuid() "
        "where order_id = '{confirmed}' and asked_kind = 'place'",
    ),
    Spoilt(
        "a reply that tells of another order",
        "I1 replies-name-their-order",
        sql="update idempotency_keys set response_body = '{{}}' where order_id = '{confirmed}' and asked_kind = 'pay'",
    ),
    Spoilt(
        "a decision that was applied twice",
        "I1 one-version-per-decision",
        sql="update order_log set decision_id = (select decision_id from order_log "
        "where order_id = '{pending}' and version = 1) where order_id = '{pending}' and version = 2",
        rechain="pending",
    ),
    Spoilt(
        "a charge that is owed twice",
        "I1 one-version-per-decision",
        sql="""create temp table twin as select * from partner_calls where order_id = '{confirmed}' and kind = 'charge';
update twin set id = gen_random_uuid();
insert into partner_calls select * from twin""",
    ),
    Spoilt(
        "a reply of a version that was lost",
        "I3 acknowledged-versions-exist",
        sql="update idempotency_keys set response_version = 99 where order_id = '{confirmed}' and asked_kind = 'pay'",
    ),
    Spoilt(
        "an acknowledged refund that was lost",
        "I3 acknowledged-versions-exist",
        sql="update idempotency_keys set response_version = response_version + 1 "
        "where order_id = '{partly_refunded}' and asked_kind = 'refund'",
    ),
]

CALLS = [
    Spoilt(
        "a check that nobody makes",
        "L1 no-call-overdue",
        sql="update partner_calls set lease_until = now() - interval '1 hour' "
        "where order_id = '{declined}' and kind = 'late_check'",
    ),
    Spoilt(
        "a cart that nobody clears",
        "L1 no-call-overdue",
        sql="update partner_calls set state = 'open', finished_at = null, lease_until = now() - interval '1 hour' "
        "where order_id = '{delivered}' and kind = 'clear_cart'",
    ),
    Spoilt(
        "an order that does not expire",
        "L1 no-timer-overdue",
        sql="update orders set timer_at = now() - interval '1 hour' where id = '{pending}'",
    ),
    Spoilt(
        "an order that never will expire",
        "L1 no-timer-overdue",
        sql="update orders set timer_at = null where id = '{declined}'",
    ),
    Spoilt(
        "an attempt that nobody asks about",
        "L1 owed-has-a-call, H1 parts-equal-log",
        sql="update payment_attempts set status = 'processing' where order_id = '{declined}'",
    ),
    Spoilt(
        "a release that nobody sends",
        "L1 owed-has-a-call, H1 order-equals-log",
        sql="update orders set stock = 'releasing' where id = '{declined}'",
    ),
    Spoilt(
        "a parked call is gone",
        "L1 owed-has-a-call, L1 attention-is-told",
        sql="delete from partner_calls where order_id = '{charge_parked}' and state = 'parked'",
    ),
    Spoilt(
        "a parked call that nobody is told of",
        "L1 attention-is-told",
        sql="update orders set attention = null where id = '{charge_parked}'",
    ),
    Spoilt(
        "a person is asked for nothing",
        "L1 attention-is-told",
        sql="update orders set attention = 'call-refused' where id = '{confirmed}'",
    ),
    Spoilt(
        "a token that did not rise",
        "L3 lease-tokens-rise",
        sql="update partner_calls set token = 0 where order_id = '{confirmed}' and kind = 'charge'",
    ),
    Spoilt(
        "more leases than tokens",
        "L3 lease-tokens-rise",
        sql="update partner_calls set attempts = 99 where order_id = '{confirmed}' and kind = 'charge'",
    ),
]
