"""The names are a promise: each invariant has its question, its line in the documentation, and a corruption."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from order_service.verify.catalogue import INVARIANTS, Source
from order_service.verify.run import IN_FLIGHT_KEPT, Tally, verdict
from order_service.verify.scratch import FOLDER, PAGES, Scratch, check, page

_DOC = Path(__file__).parents[2] / "docs" / "verify.md"


def test_every_invariant_is_documented_in_its_words() -> None:
    lines = [f"| `{i.name}` | {i.says} | {i.advice} |" for i in INVARIANTS]
    assert re.findall(r"^\| `[A-Z]\d .*$", _DOC.read_text(), re.MULTILINE) == lines


def test_every_question_is_asked_and_opens_with_a_sentence() -> None:
    asked = sorted(i.query for i in INVARIANTS if i.query)
    assert asked == sorted(path.stem for path in FOLDER.glob("*.sql"))
    assert all(path.read_text().startswith("-- ") for path in FOLDER.rglob("*.sql"))


def test_the_server_knows_all_that_the_questions_name(database: str) -> None:
    async def prepare() -> int:
        scratch = await Scratch.open(database)
        try:
            names = [check(i.query) for i in INVARIANTS if i.query]
            names += [page(p.stem) for p in PAGES.glob("*.sql") if p.stem not in ("scratch", "classified")]
            async with scratch.look() as connection:
                for query in names:
                    await connection.prepare(query.sql)
            return len(names)
        finally:
            await scratch.close()

    assert asyncio.run(prepare()) > len(INVARIANTS) / 2


def test_what_is_in_flight_beyond_the_memory_for_it_is_counted_and_does_not_settle() -> None:
    tallies = {i.name: Tally(looked=True) for i in INVARIANTS}
    tally = tallies["L1 no-call-overdue"]
    for n in range(IN_FLIGHT_KEPT + 7):
        tally.add(str(n), "is due", "in flight")
    assert (len(tally.in_flight), tally.beyond) == (IN_FLIGHT_KEPT, 7)
    assert verdict(tallies, [], settle=False) == 0
    tally.in_flight.clear()
    assert verdict(tallies, [], settle=True) == 1


def test_the_exit_code_says_first_what_is_wrong_and_then_what_was_not_seen() -> None:
    tallies = {i.name: Tally(looked=not i.needs) for i in INVARIANTS}
    assert verdict(tallies, [], settle=False) == 2
    assert verdict(tallies, [Source.PAYMENTS, Source.INVENTORY], settle=False) == 2
    assert verdict(tallies, list(Source), settle=False) == 0
    tallies["M5 sums-add-up"].add(None, "does not add up", "violation")
    assert verdict(tallies, [], settle=False) == 1
