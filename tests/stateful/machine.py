"""The state machine: Hypothesis chooses what is done, the driver does it."""

from __future__ import annotations

from typing import Any

from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.stateful.basket import bodies
from tests.stateful.driver import Driver
from tests.stateful.steps import Step, steps


class Machine(RuleBasedStateMachine):
    """One run. There is one rule only: of several, Hypothesis would leave most out of each run."""

    def __init__(self) -> None:
        super().__init__()
        self.driver = Driver()

    @initialize(first=bodies(), second=bodies())
    def begin(self, first: dict[str, Any], second: dict[str, Any]) -> None:
        """Two orders of one user."""
        self.driver.place(first, 0, False)
        self.driver.place(second, 0, True)

    @rule(step=steps())
    def go(self, step: Step) -> None:
        """Whatever was drawn."""
        self.driver.do(step)
