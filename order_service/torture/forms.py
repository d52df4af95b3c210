"""The forms of the torture: the short one with one of everything, and the long one with kills without end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from order_service.torture.disasters import PROCESSES, SERVERS
from order_service.torture.lives import LIGHT, RICH
from order_service.torture.partners import BY_THEMSELVES, LOOKED_AT
from order_service.torture.report import Report
from order_service.torture.run import Run, Scenario

FAMILIES: Sequence[Sequence[Scenario]] = ((*PROCESSES, *BY_THEMSELVES), SERVERS, LOOKED_AT)
"""Each is played in a chapter of its own."""

SHORT_LANES = 6
LONG_LANES = 7
"""Victims at once, beside those who relay; more where thousands have to die."""

REPEATED_IN_SHORT = 0.1
REPEATED_IN_LONG = 0.05
"""Of all answers, so many are asked for again in the end."""


def run_short(seed: int, *, clients: int, folder: Path | None = None, file: Path | None = None) -> Report:
    """One of everything."""

    def play(run: Run) -> None:
        run.executioner.lanes = SHORT_LANES
        run.stage.begin()
        run.record()
        run.kill_everywhere()
        run.prove(share=REPEATED_IN_SHORT)
        for scenarios in FAMILIES:
            _chapter(run, scenarios, REPEATED_IN_SHORT)

    return Run("short", seed, clients=clients, mix=RICH, folder=folder, file=file)(play)


def _chapter(run: Run, scenarios: Sequence[Scenario], share: float) -> None:
    run.stage.begin(run.disk if scenarios is SERVERS else None)
    relay = run.stage.replica()
    for scenario in scenarios:
        scenario(run)
    run.end([relay])
    # Only where partners lie, a person has to look; all else ends by itself.
    run.prove(parked_allowed=scenarios is LOOKED_AT, share=share)


def run_long(
    seed: int,
    *,
    clients: int,
    kills: int,
    orders: int,
    minutes: float,
    folder: Path | None = None,
    file: Path | None = None,
) -> Report:
    """So many kills and orders, and one family of other disasters behind every second chapter of kills."""

    def between(run: Run, number: int) -> None:
        if number % 2 == 0:
            _chapter(run, FAMILIES[(number // 2 - 1) % len(FAMILIES)], REPEATED_IN_LONG)

    def play(run: Run) -> None:
        run.executioner.lanes = LONG_LANES
        run.executioner.impatient = True
        run.stage.begin()
        run.record()
        run.kill_on(kills, orders, minutes, REPEATED_IN_LONG, lambda number: between(run, number))

    return Run("long", seed, clients=clients, mix=LIGHT, folder=folder, file=file)(play)
