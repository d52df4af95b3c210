"""Thousands of simulated lives, each reconciled with the partners' ledger to the minor unit.

pytest tests/money/test_lives.py --lives 10000      as many as you like
pytest tests/money/test_lives.py --life 4711        one of them again, with its transcript
"""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import pytest

from order_service.core.lifecycle import Status
from order_service.core.model import RefundStatus
from tests.money.lives.life import Life, live

AT_ONCE = 100
SHORT = 1500


def test_the_money_of_every_life_reconciles_with_the_ledger(request: pytest.FixtureRequest) -> None:
    one, lives = request.config.getoption("--life", None), request.config.getoption("--lives", SHORT)
    if one is not None:
        print("\n".join(live(one).transcript))
        return
    met: Counter[str] = Counter()
    spans = [range(first, min(first + AT_ONCE, lives)) for first in range(0, lives, AT_ONCE)]
    with ProcessPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        for found in pool.map(_met, spans):
            met += found
    print(f"{lives} lives: " + ", ".join(f"{name} {count}" for name, count in sorted(met.items())))
    if lives >= 1000:
        assert {f"order {status}" for status in ENDS} <= set(met), "a life can end in each of these"
        assert {f"refund {status}" for status in REFUNDS} <= set(met)
        assert met["surplus"] > 0


ENDS = (Status.CONFIRMED, Status.PROCESSING, Status.SHIPPED, Status.DELIVERED, Status.CANCELLED, Status.REFUNDED)
REFUNDS = (RefundStatus.SUCCEEDED, RefundStatus.FAILED, RefundStatus.ACKNOWLEDGED, RefundStatus.SETTLED_OUTSIDE)


def _met(seeds: range) -> Counter[str]:
    met: Counter[str] = Counter()
    for seed in seeds:
        _count(met, live(seed))
    return met


def _count(met: Counter[str], life: Life) -> None:
    met["steps"] += len(life.transcript)
    for order in life.books.orders():
        met[f"order {order.status}"] += 1
        met["surplus"] += sum(a.surplus > 0 for a in order.payment.attempts)
        for refund in order.refunds:
            met[f"refund {refund.status}"] += 1
