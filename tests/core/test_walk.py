"""The exhaustive walk through the rules, and the faults it must find.

`pytest tests/core --full-walk -s` walks to the full bound and prints how many states and moves that was.
"""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest

from order_service.core.lifecycle import MOVES, PaymentFacet, Status, Stock
from order_service.core.model import AttemptStatus, RefundStatus

from .walk.explore import Report, Walk
from .walk.facets import lawful
from .walk.faults import BOUNDS, FAULTS, Fault, planted
from .walk.rules import Bound
from .walk.steps import Violation
from .walk.table import all_cells

pytestmark = pytest.mark.timeout(3600)

SHORT = (
    Bound("an order paid up to twice", attempts=2, refunds=1, copies=1, odd=1),
    Bound("an order refunded in parts", attempts=1, refunds=2, copies=1, odd=1),
    Bound("an order of total 0", total=0, attempts=1, refunds=1, copies=1, odd=1, cart=True),
    Bound("an order held for another try", attempts=2, refunds=0, copies=1, odd=0, retry_hold_s=300),
    Bound("every answer, and the cart", attempts=1, refunds=1, copies=1, odd=1, rare=True, cart=True),
)
FULL = (
    Bound("far: paid and refunded twice", attempts=2, refunds=2, copies=2, odd=2),
    Bound("far: refunded in three parts", total=3, attempts=1, refunds=3, copies=2, odd=2),
    Bound("far: paid three times", attempts=3, refunds=1, copies=1, odd=1),
    Bound("far: held, every answer", attempts=2, refunds=1, copies=1, odd=1, rare=True, cart=True, retry_hold_s=300),
)

# `refused` comes only from pending and payment_failed: there no charge is open and nothing is captured.
NEVER_REACHED = {
    (Status.CANCELLED, Stock.REFUSED, facet)
    for facet in (
        PaymentFacet.PENDING,
        PaymentFacet.UNKNOWN,
        PaymentFacet.REFUND_PENDING,
        PaymentFacet.REFUND_FAILED,
    )
}


@cache
def walked(bound: Bound) -> Report:
    """The report of this walk, which is done once."""
    report = Walk(bound).run()
    print(report)
    return report


@pytest.fixture(scope="module")
def met() -> Counter[tuple[str, ...]]:
    """All that the short walks met."""
    return sum((walked(bound).met for bound in SHORT), Counter())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The walk goes as far as it was asked to."""
    if "far" in metafunc.fixturenames:
        full = metafunc.config.getoption("--full-walk", default=False)
        metafunc.parametrize("far", (*SHORT, *FULL) if full else SHORT, ids=lambda b: b.name)


def test_the_rules_hold_in_every_state(far: Bound) -> None:
    assert walked(far).worlds > 50


def test_every_move_of_the_table_is_made(met: Counter[tuple[str, ...]]) -> None:
    assert [(a, b) for a, row in MOVES.items() for b in row if ("move", str(a), str(b)) not in met] == []


def test_every_lawful_combination_of_facets_is_reached(met: Counter[tuple[str, ...]]) -> None:
    assert {c for c in lawful() if ("facets", *c) not in met} == NEVER_REACHED


def test_every_cell_of_the_table_of_answers_is_met(met: Counter[tuple[str, ...]]) -> None:
    assert {cell for cell in all_cells() if ("answer", *cell) not in met} == set()


def test_every_state_of_attempts_and_refunds_is_reached(met: Counter[tuple[str, ...]]) -> None:
    assert {s for s in AttemptStatus if ("attempt", s) not in met} == set()
    assert {s for s in RefundStatus if ("refund", s, "own") not in met} == set()
    never = {RefundStatus.ACKNOWLEDGED}  # surplus is money of a closed attempt: it goes back or is settled outside
    assert {s for s in RefundStatus if ("refund", s, "surplus") not in met} == never


def test_every_way_of_giving_up_is_met(met: Counter[tuple[str, ...]]) -> None:
    given_up = {key[2:] for key in met if key[:2] == ("answer", "calls") and key[2].startswith("give up ")}
    assert given_up == {
        *((f"give up {kind}", "200") for kind in ("charge", "reserve", "commit", "read_payment")),
        *((f"give up {kind}", "200") for kind in ("check_payment", "late_check")),
        *((f"give up {kind}", "not-possible") for kind in ("void", "read_payment")),
        *(
            (f"give up {kind}", verdict)
            for kind in ("refund", "read_refund", "failed refund")
            for verdict in ("200", "validation-failed")
        ),
    }


def test_every_reason_for_attention_is_met(met: Counter[tuple[str, ...]]) -> None:
    reasons = {key[1] for key in met if key[0] == "attention"}
    assert reasons == {"call-refused", "answer-not-believed", "stock-not-held", "refund-failed"}


@pytest.mark.parametrize("bound", BOUNDS, ids=lambda b: b.name)
def test_the_rules_pass_every_bound_in_which_a_fault_is_planted(bound: Bound) -> None:
    walked(bound)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.name)
def test_a_planted_fault_is_found(fault: Fault) -> None:
    with planted(fault), pytest.raises(Violation) as found:
        Walk(fault.bound).run()
    print(f"{found.value}: {' / '.join(found.value.trace)}")
