"""What can be wrong between us and the partners, or the topic: each line breaks what it names and nothing else."""

from __future__ import annotations

from tests.verify.spoil import (
    Spoilt,
    add,
    again,
    both,
    change,
    drop,
    edit,
    exchange,
    invent,
    lose,
    move,
    pieces,
    repeat,
    swap,
)

_SHIRTS = [{"productId": "shirt", "quantity": 2}]
_NOBODY = "00000000-0000-4000-8000-000000000000"
_LAST = "order_id = '{pending}' and version = (select version from orders where id = '{pending}')"

MONEY = [
    Spoilt("a charge of one cent more", "M1 captures-match", ledger=change("charge", "confirmed 0", amount=1)),
    Spoilt("a reference charged twice", "M1 captures-match", ledger=again("charge", "confirmed 0")),
    Spoilt(
        "a captured attempt called declined",
        "M1 captures-match, M5 sums-add-up, H1 parts-equal-log",
        sql="update payment_attempts set status = 'declined' where order_id = '{confirmed}'",
    ),
    Spoilt("one cent less given back", "M1 refunds-match", ledger=change("refund", "partly refunded 0", amount=-1)),
    Spoilt("one cent more given back", "M1 refunds-match", ledger=change("refund", "partly refunded 1", amount=1)),
    Spoilt(
        "a refund that we call failed was paid",
        "M1 refunds-match, M5 sums-add-up, H1 parts-equal-log",
        sql="update refunds set status = 'failed' where order_id = '{partly_refunded}'",
    ),
    Spoilt("given back before it came", "M2 never-more-back", ledger=swap("charge", "refund", "refunded 0")),
    Spoilt("given back twice", "M2 never-more-back, M1 refunds-match", ledger=again("refund", "refunded 0")),
    Spoilt(
        "a charge that we never asked for",
        "M3 no-orphan-payments",
        ledger=add("charge", "{confirmed}-p9", amount=700),
    ),
    Spoilt("a charge for somebody else", "M3 no-orphan-payments", ledger=add("charge", "x-1", amount=700)),
    Spoilt(
        "a charge under another order's name",
        "M3 no-orphan-payments",
        ledger=change("charge", "confirmed 0", orderId=_NOBODY),
    ),
    Spoilt("paid by our books only", "M3 no-phantom-payments", ledger=drop("charge", "confirmed 0")),
    Spoilt("given back by our books only", "M3 no-phantom-payments", ledger=drop("refund", "partly refunded 0")),
    Spoilt(
        "the refund of a refunded order never went",
        "M4 dead-orders-net-zero, M3 no-phantom-payments",
        ledger=drop("refund", "refunded 0"),
    ),
    Spoilt(
        "a cent of a refunded order was kept",
        "M4 dead-orders-net-zero, M1 refunds-match",
        ledger=change("refund", "refunded 0", amount=-1),
    ),
    Spoilt(
        "a cancelled order was charged",
        "M4 dead-orders-net-zero, M3 no-orphan-payments",
        ledger=add("charge", "{unpaid_cancelled}-p1", amount=700),
    ),
    Spoilt(
        "a refunded order that owes a cent",
        "M4 dead-orders-owe-nothing, M5 sums-add-up, M6 status-has-its-money, H1 order-equals-log",
        sql="update orders set refunded = refunded - 1 where id = '{refunded}'",
    ),
    Spoilt(
        "a cancelled order that has kept money",
        "M4 dead-orders-owe-nothing, M5 sums-add-up, H1 order-equals-log",
        sql="update orders set captured = 100 where id = '{unpaid_cancelled}'",
    ),
    Spoilt(
        "a line at another price",
        "M5 sums-add-up, H1 parts-equal-log",
        sql="update order_items set unit_price = unit_price * 2, total = total * 2 "
        "where order_id = '{confirmed}' and line = 1",
    ),
    Spoilt(
        "a line that cannot count",
        "M5 sums-add-up, H1 parts-equal-log",
        sql="update order_items set unit_price = unit_price + 1 where order_id = '{pending}' and line = 1",
    ),
    Spoilt(
        "a tax that came later",
        "M5 sums-add-up, H1 order-equals-log",
        sql="update orders set tax = tax + 1 where id = '{pending}'",
    ),
    Spoilt("charged in another currency", "M5 one-currency", ledger=change("charge", "confirmed 0", currency="EUR")),
    Spoilt("refunded in another currency", "M5 one-currency", ledger=change("refund", "refunded 0", currency="JPY")),
    Spoilt(
        "shipped and not paid",
        "M6 status-has-its-money, M5 sums-add-up, H1 order-equals-log",
        sql="update orders set captured = 0 where id = '{shipped}'",
    ),
    Spoilt(
        "confirmed without a payment, in all our books",
        "M6 status-has-its-money, E4 events-equal-log",
        sql=f"""update order_log set snapshot = regexp_replace(snapshot, '"status":"pending"', '"status":"confirmed"')
where {_LAST};
update orders set status = 'confirmed' where id = '{{pending}}';
insert into order_history
select order_id, version, 'pending', 'confirmed', actor, reason, correlation_id, at from order_log where {_LAST}""",
        rechain="pending",
    ),
    Spoilt(
        "charged twice under one key",
        "I1 one-payment-per-key, M1 captures-match",
        ledger=again("charge", "confirmed 0", same_key=True),
    ),
    Spoilt(
        "refunded twice under one key",
        "I1 one-payment-per-key, M1 refunds-match",
        ledger=again("refund", "partly refunded 0", same_key=True),
    ),
]

STOCK = [
    Spoilt("held twice", "S1 holds-never-negative", ledger=again("reserve", "confirmed 0")),
    Spoilt(
        "released before it was held",
        "S1 holds-never-negative, S4 no-leaked-holds",
        ledger=swap("reserve", "release", "unpaid cancelled 0"),
    ),
    Spoilt(
        "more released than held",
        "S1 holds-never-negative",
        ledger=pieces("release", "refunded 0", quantity=3),
    ),
    Spoilt(
        "sent after its release",
        "S1 holds-never-negative, S4 no-leaked-holds",
        ledger=add("commit", "{unpaid_cancelled}-r1", items=_SHIRTS),
    ),
    Spoilt("too many held", "S2 holds-match-lines", ledger=pieces("reserve", "confirmed 0", quantity=3)),
    Spoilt("another product held", "S2 holds-match-lines", ledger=pieces("reserve", "pending 0", productId="hat")),
    Spoilt(
        "one piece more ordered",
        "S2 holds-match-lines, H1 parts-equal-log",
        sql="update order_items set quantity = 4, unit_price = unit_price / 2 where order_id = '{rare}' and line = 1",
    ),
    Spoilt(
        "a second reservation",
        "S2 one-live-hold, S4 no-leaked-holds",
        ledger=again("reserve", "confirmed 0", reference="{confirmed}-r2"),
    ),
    Spoilt(
        "the first reservation was kept",
        "S2 one-live-hold, S4 no-leaked-holds",
        ledger=drop("release", "paid at last 0"),
    ),
    Spoilt("confirmed and not held", "S3 live-orders-hold-stock", ledger=drop("reserve", "confirmed 0")),
    Spoilt("pending and released", "S3 live-orders-hold-stock", ledger=again("reserve", "pending 0", kind="release")),
    Spoilt("confirmed and sent", "S3 live-orders-hold-stock", ledger=again("reserve", "confirmed 0", kind="commit")),
    Spoilt("cancelled and still held", "S4 no-leaked-holds", ledger=drop("release", "unpaid cancelled 0")),
    Spoilt("held for nobody", "S4 no-leaked-holds", ledger=add("reserve", f"{_NOBODY}-r1", items=_SHIRTS)),
    Spoilt("shipped and not booked", "S5 shipped-goods-were-held", ledger=drop("commit", "shipped 0")),
    Spoilt(
        "delivered and never held",
        "S5 shipped-goods-were-held",
        ledger=both(drop("reserve", "delivered 0"), drop("commit", "delivered 0")),
    ),
    Spoilt(
        "held twice under one key",
        "I1 one-hold-per-key, S1 holds-never-negative",
        ledger=again("reserve", "confirmed 0", same_key=True),
    ),
    Spoilt(
        "released twice under one key",
        "I1 one-hold-per-key, S1 holds-never-negative",
        ledger=again("release", "refunded 0", same_key=True),
    ),
]

TOPIC = [
    Spoilt("the only event is lost", "E1 events-not-lost", topic=lose("pending 0", 0)),
    Spoilt("the last event is lost", "E1 events-not-lost", topic=lose("delivered 0", -1)),
    Spoilt("an event in the middle is lost", "E1 events-not-lost, E2 events-in-sequence", topic=lose("shipped 0", 2)),
    Spoilt("one event too many", "E1 events-not-invented", topic=invent("{pending}", 2)),
    Spoilt("an event of no order", "E1 events-not-invented", topic=invent(_NOBODY, 1)),
    Spoilt("two events the other way round", "E2 events-in-sequence", topic=exchange("confirmed 0", 1, 2)),
    Spoilt("the last event came first too", "E2 events-in-sequence", topic=repeat("confirmed 0", -1, offset=-1)),
    Spoilt("the last event elsewhere", "E2 one-partition", topic=move("delivered 0", -1)),
    Spoilt("most events elsewhere", "E2 one-partition", topic=move("delivered 0", 1, 2, 3)),
    Spoilt(
        "the same event with another content",
        "E3 same-id-same-bytes, E4 events-equal-log",
        topic=repeat("confirmed 0", 0, old=b'"status":"pending"', new=b'"status":"shipped"'),
    ),
    Spoilt(
        "the same event of another type",
        "E3 same-id-same-bytes, E4 events-equal-log",
        topic=repeat("confirmed 0", 0, old=b"order.created", new=b"order.shipped"),
    ),
    Spoilt(
        "an event that tells of another sum",
        "E4 events-equal-log",
        topic=edit("confirmed 0", 0, b'"tax":300', b'"tax":301'),
    ),
    Spoilt(
        "an event of another time",
        "E4 events-equal-log",
        topic=edit("confirmed 0", 0, b"order.created", b"order.Created"),
    ),
    Spoilt(
        "a log that was rewritten after it was sent",
        "E4 events-equal-log",
        sql="""update order_log set snapshot = replace(snapshot, '"metadata":{{}}', '"metadata":{{"a":"b"}}')
            where order_id = '{confirmed}' and version = 2""",
        rechain="confirmed",
    ),
]
