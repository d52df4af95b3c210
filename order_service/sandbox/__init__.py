"""Inventory, Cart and Payment as one process of their own, for a laptop and for the tests.

    python -m order_service.sandbox --port 4950 --data DIR [--die-with-parent]

It keeps the published contracts to the letter and says `{"url": ...}` on its first line when it is ready.
What it answered for is in DIR before the answer goes out, and is there again after any kill.

`GET /sandbox/ledger?after=SEQ&limit=N` lists the effects as `{"items": [...]}`, oldest first, `seq` from 1
without a gap, each with `seq, at, kind, key, orderId` and:

| kind | when | reference | more |
|---|---|---|---|
| reserve | goods are held | reservation id | items |
| release | goods are free again, or will never be held (then no items) | reservation id | items |
| commit | held goods are gone | reservation id | items |
| clear_cart | ordered quantities were taken out of a cart | | items |
| charge | money was captured, with the key of its charge, also if that was `processing` first | ours | amount |
| decline | a charge was declined | ours | amount |
| void | a charge will never happen; without amount and order if it was never seen | ours | amount |
| refund | money went back; a pending refund is none yet, a failed one never | the refund's own | amount |

What changes nothing is no effect: a repeat, a refusal, a void that came too late, a release of goods that
have left. The other levers: `PUT /sandbox/stock/{productId}` sets the pieces on hand, held and gone ones
included; `PUT /sandbox/carts/{userId}` sets a whole cart; `POST /sandbox/payments/{reference}/capture` takes
the money of a payment whatever became of it, declined and voided ones too. `stock.py` and `payments.py` have
the tables of products and tokens that do something of their own.
"""
