"""The invariants: what each says, on what it looks, and what to do when it does not hold."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Source(StrEnum):
    """What is looked at besides the database."""

    PAYMENTS = "payments"
    INVENTORY = "inventory"
    TOPIC = "topic"


class Invariant(Struct, frozen=True):
    """One sentence that must be true, under a name that never changes.

    ``query`` names the file in ``sql/`` that finds the orders at which it is not; None: ``books`` finds them. ``rows``
    are the tables whose rows are looked at. ``outside``: it compares us with somebody else, so that it need not hold
    at an order on which work is under way; all others hold at every moment.
    """

    name: str
    says: str
    advice: str
    rows: tuple[str, ...]
    query: str | None = None
    needs: tuple[Source, ...] = ()
    outside: bool = False


_MONEY, _STOCK, _TOPIC = (Source.PAYMENTS,), (Source.INVENTORY,), (Source.TOPIC,)
_ASK_PSP = "Compare the order's attempts with the payment service's own page; correct the side that is wrong."
_ASK_STOCK = "Compare the order's reservation with the warehouse; release or reserve by hand what differs."
_TAMPERED = "Somebody wrote past the service: stop, keep a copy, compare with a backup, find out who."
_REPLAY = "Consumers have missed or misread it: replay the order's events from the log."
_BUG = "A fault of the service: keep the order's timeline (`order-service show`) and report it."
_WAKE = "See that a worker runs and what its log says of this order; `order-service serve --only worker` helps."

INVARIANTS: tuple[Invariant, ...] = (
    Invariant(
        "M1 captures-match",
        "Per reference, the payment service captured what we say it did, surplus included.",
        _ASK_PSP,
        ("money_entries", "payment_attempts"),
        "captures_match",
        _MONEY,
        True,
    ),
    Invariant(
        "M1 refunds-match",
        "Per reference, the payment service gave back what we say it did.",
        _ASK_PSP,
        ("money_entries", "refunds"),
        "refunds_match",
        _MONEY,
        True,
    ),
    Invariant(
        "M2 never-more-back",
        "At no moment of the ledger has an order got back more than it had paid.",
        "Money is lost: stop refunds of this order and ask the payment service.",
        ("money_entries",),
        "no_more_back",
        _MONEY,
        True,
    ),
    Invariant(
        "M3 no-orphan-payments",
        "Every charge and refund of the ledger is one of ours, under the order it belongs to.",
        "Find out who made it; an orphan charge is to be refunded at the payment service.",
        ("money_entries",),
        "no_orphan_payments",
        _MONEY,
        True,
    ),
    Invariant(
        "M3 no-phantom-payments",
        "All money that we believe to have come or gone is in the ledger.",
        "Do not ship. Ask the payment service; a report that ends too early looks the same.",
        ("payment_attempts", "refunds"),
        "no_phantom_payments",
        _MONEY,
        True,
    ),
    Invariant(
        "M4 dead-orders-net-zero",
        "By the ledger, an order that is not alive keeps no money but what people settled outside.",
        "Refund the rest at the payment service.",
        ("money_entries", "orders"),
        "dead_orders_net_zero",
        _MONEY,
        True,
    ),
    Invariant(
        "M4 dead-orders-owe-nothing",
        "By our books, all money of a cancelled or refunded order is back, on its way, or waits for a person.",
        "Start a refund of the rest (`POST .../refunds`).",
        ("orders",),
        "dead_orders_owe_nothing",
        (),
        True,
    ),
    Invariant(
        "M5 sums-add-up",
        "An order's sums are those of its lines, attempts and refunds, in whole minor units.",
        _TAMPERED,
        ("orders", "order_items"),
        "sums_add_up",
    ),
    Invariant(
        "M5 one-currency",
        "The payment service used the order's currency, where it tells one.",
        _ASK_PSP,
        ("money_entries",),
        "one_currency",
        _MONEY,
        True,
    ),
    Invariant(
        "M6 status-has-its-money",
        "Goods are promised or sent only for what is paid in full; refunded means all of it.",
        _TAMPERED,
        ("orders",),
        "status_has_its_money",
    ),
    Invariant(
        "S1 holds-never-negative",
        "Replayed, each reservation of the ledger is held once and ends once, with the pieces it began with.",
        "The inventory contradicts itself: count the shelf.",
        ("stock_entries",),
        "holds_never_negative",
        _STOCK,
        True,
    ),
    Invariant(
        "S2 holds-match-lines",
        "What is held or gone for an order is what its lines ask for.",
        _ASK_STOCK,
        ("stock_entries", "order_items"),
        "holds_match_lines",
        _STOCK,
        True,
    ),
    Invariant(
        "S2 one-live-hold",
        "At most one reservation of an order holds goods or has sent them.",
        _ASK_STOCK,
        ("stock_entries",),
        "one_live_hold",
        _STOCK,
        True,
    ),
    Invariant(
        "S3 live-orders-hold-stock",
        "What we call reserved is held by the inventory.",
        "Do not promise the goods: reserve them by hand, or cancel the order.",
        ("our_reservations", "stock_entries"),
        "live_orders_hold_stock",
        _STOCK,
        True,
    ),
    Invariant(
        "S4 no-leaked-holds",
        "The inventory holds nothing for an order that wants nothing.",
        "Release the reservation at the inventory.",
        ("stock_entries", "our_reservations"),
        "no_leaked_holds",
        _STOCK,
        True,
    ),
    Invariant(
        "S5 shipped-goods-were-held",
        "Goods that have left were held, and are booked as gone.",
        "Book the goods by hand; if somebody else's were taken, reorder.",
        ("our_reservations", "stock_entries"),
        "shipped_goods_were_held",
        _STOCK,
        True,
    ),
    Invariant(
        "H1 versions-contiguous",
        "An order's log has the versions 1 to n without a gap, and n is the order's version.",
        _TAMPERED,
        ("order_log", "orders"),
    ),
    Invariant(
        "H1 history-is-a-path",
        "The history begins at creation, moves as the table allows, and ends at the order's status.",
        _TAMPERED,
        ("order_history", "orders"),
    ),
    Invariant(
        "H1 order-equals-log",
        "An order says what the newest row of its log says.",
        _TAMPERED,
        ("orders", "order_log"),
    ),
    Invariant(
        "H1 parts-equal-log",
        "An order's lines, attempts and refunds are those of the newest row of its log.",
        _TAMPERED,
        ("order_items", "payment_attempts", "refunds", "order_log"),
    ),
    Invariant(
        "H2 hash-chain-holds",
        "Every row of the log has the hash of its content and of the row before it; contacts have theirs.",
        _TAMPERED,
        ("order_log",),
    ),
    Invariant(
        "H3 history-equals-log",
        "The history has one row per change of status in the log: same version, actor, reason, time.",
        _TAMPERED,
        ("order_history", "order_log"),
    ),
    Invariant(
        "H3 time-goes-forward",
        "Every version names who made it, and is not older than the one before it.",
        "Look at the clocks of database and service.",
        ("order_log",),
    ),
    Invariant(
        "H4 final-is-final",
        "Nothing leaves delivered, cancelled or refunded but by a finished refund.",
        _TAMPERED,
        ("order_history",),
    ),
    Invariant(
        "E1 events-not-lost",
        "Every event of the log behind the relay's cursor is in the topic.",
        _REPLAY,
        ("expected_events",),
        "events_not_lost",
        _TOPIC,
    ),
    Invariant(
        "E1 events-not-invented",
        "Every record of the topic is an event of the log.",
        "Find out who else writes to the topic; take the right away.",
        ("topic_records",),
        "events_not_invented",
        _TOPIC,
    ),
    Invariant(
        "E2 events-in-sequence",
        "In the topic, an order's events first appear as 1, 2, 3 and so on.",
        _REPLAY,
        ("topic_records",),
        "events_in_sequence",
        _TOPIC,
    ),
    Invariant(
        "E2 one-partition",
        "All events of an order are in one partition.",
        "The topic's partitions were changed, or somebody else writes to it: consumers cannot rely on the order.",
        ("topic_records",),
        "one_partition",
        _TOPIC,
    ),
    Invariant(
        "E2 log-numbers-events",
        "The log numbers an order's events 1, 2, 3 and so on, and the order counts them.",
        _TAMPERED,
        ("order_log",),
    ),
    Invariant(
        "E3 same-id-same-bytes",
        "A record that comes again has the bytes it had the first time.",
        "Find out who else writes to the topic.",
        ("topic_records",),
        "same_id_same_bytes",
        _TOPIC,
    ),
    Invariant(
        "E4 events-equal-log",
        "A record of the topic says what the log says, personal data left out.",
        _REPLAY,
        ("topic_records", "expected_events"),
        "events_equal_log",
        _TOPIC,
    ),
    Invariant(
        "E5 relay-keeps-up",
        "No event waits longer than a minute to be sent.",
        "See that a relay runs, that Kafka answers, and that nobody blocks the log.",
        ("expected_events",),
        "relay_keeps_up",
    ),
    Invariant(
        "I1 replies-name-their-order",
        "An Idempotency-Key is bound to an order, attempt or refund that is there.",
        _BUG,
        ("idempotency_keys",),
        "replies_name_their_order",
    ),
    Invariant(
        "I1 one-version-per-decision",
        "One decision made one version, and no call is owed twice.",
        _BUG,
        ("order_log", "partner_calls"),
        "one_version_per_decision",
    ),
    Invariant(
        "I1 one-payment-per-key",
        "The payment service did everything once per key.",
        _ASK_PSP,
        ("money_entries",),
        "one_payment_per_key",
        _MONEY,
        True,
    ),
    Invariant(
        "I1 one-hold-per-key",
        "The inventory did everything once per key.",
        _ASK_STOCK,
        ("stock_entries",),
        "one_hold_per_key",
        _STOCK,
        True,
    ),
    Invariant(
        "I3 acknowledged-versions-exist",
        "What a reply has told is still there: no remembered version is above that of its order.",
        "Writes are lost: was an older backup restored?",
        ("idempotency_keys", "orders"),
        "acknowledged_versions_exist",
    ),
    Invariant(
        "L1 no-call-overdue",
        "Every call that is due is made soon; until then its order is in flight.",
        _WAKE,
        ("partner_calls",),
        "no_call_overdue",
    ),
    Invariant(
        "L1 no-timer-overdue",
        "No order is past its timer, and none that needs one is without.",
        _WAKE,
        ("orders",),
        "no_timer_overdue",
    ),
    Invariant(
        "L1 owed-has-a-call",
        "Whatever an order waits for is asked for by a call.",
        _BUG,
        ("orders", "payment_attempts", "refunds", "partner_calls"),
        "owed_has_a_call",
    ),
    Invariant(
        "L1 attention-is-told",
        "An order asks for a person exactly where one is needed; such orders are parked.",
        "Parked: retry the call or give it up. Violation: " + _BUG,
        ("orders", "partner_calls"),
        "attention_is_told",
    ),
    Invariant(
        "L3 lease-tokens-rise",
        "Each lease of a call raised its token.",
        _BUG,
        ("partner_calls",),
        "lease_tokens_rise",
    ),
    Invariant(
        "L4 nobody-blocks-the-log",
        "No transaction writes for so long that the log's readers stand still.",
        "End the named process, or commit or roll back the prepared transaction.",
        ("writers",),
        "nobody_blocks_the_log",
    ),
)

BY_NAME = {invariant.name: invariant for invariant in INVARIANTS}
