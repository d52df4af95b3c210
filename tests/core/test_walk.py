"""The exhaustive walk through the rules, and the faults it must find."""

from __future__ import annotations

import pytest

from .walk.explore import Walk
from .walk.faults import BOUNDS, FAULTS, Fault, planted
from .walk.rules import Bound
from .walk.steps import Violation


@pytest.mark.parametrize("bound", BOUNDS, ids=lambda b: b.name)
def test_the_rules_pass_every_bound_in_which_a_fault_is_planted(bound: Bound) -> None:
    Walk(bound).run()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.name)
def test_a_planted_fault_is_found(fault: Fault) -> None:
    with planted(fault), pytest.raises(Violation) as found:
        Walk(fault.bound).run()
    print(f"{found.value}: {' / '.join(found.value.trace)}")
