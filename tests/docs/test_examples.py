"""Every shell example of the documents runs, and is answered as the document says.

A block of the kind `sh` is run. The blocks of the kind `http` behind it say what its last requests are answered with;
a block of the kind `text` behind it says lines of its output.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import ROOT, Block, blocks, name, pages
from tests.docs.shell import Ran, check_reply, differs, run_blocks, same
from tests.system.harness import Answer, System


def _for_people(block: Block) -> bool:
    """Whether a block only has words of the Makefile, or sets up the machine: those have tests of their own."""
    return all(line.startswith(("make ", "git ")) for line in block.text.splitlines() if line and line[0] not in " #")


def _pages_with_examples() -> list[Path]:
    """The README has a test of its own, below."""
    found = [page for page in pages() if any(b.kind == "sh" and not _for_people(b) for b in blocks(page))]
    return [page for page in found if page != ROOT / "README.md"]


@pytest.mark.parametrize("page", _pages_with_examples(), ids=name)
def test_the_examples_of_a_page_run_and_are_answered_as_it_says(page: Path, system: System, tmp_path: Path) -> None:
    found = blocks(page)
    places = [n for n, b in enumerate(found) if b.kind == "sh" and not _for_people(b)]

    ran = run_blocks([found[n] for n in places], system, tmp_path)

    for place, result in zip(places, ran, strict=True):
        _check(page, found, place, result)


def _check(page: Path, found: list[Block], place: int, result: Ran) -> None:
    where = f"{name(page)}, line {found[place].line}"
    assert result.code == 0, f"{where}: exit code {result.code}\n{result.output}"
    said: list[Block] = []
    for block in found[place + 1 :]:
        if block.kind not in ("http", "text"):
            break
        said.append(block)
    answers = [block for block in said if block.kind == "http"]
    assert len(answers) <= len(result.replies), f"{where}: fewer answers than the page says\n{result.output}"
    for reply, told in zip(result.replies[len(result.replies) - len(answers) :], answers, strict=True):
        check_reply(reply, told, f"{name(page)}, line {told.line}")
    for block in said:
        if block.kind == "text":
            for line in block.text.strip().splitlines():
                assert same(result.output, f"...{line}..."), f"{where}: {line!r} is not in\n{result.output}"
    if page.parent == ROOT / "docs" and not any(word in found[place].text for word in ("until ", "> /dev/null")):
        assert len(answers) == len(result.replies), f"{where}: the page does not say what each request is answered"


def test_the_loop_of_the_page_on_repeats_gets_the_final_answer_of_one_charge(system: System) -> None:
    (loop,) = [block.text for block in blocks(ROOT / "docs/idempotency.md") if block.kind == "python"]
    names: dict[str, Any] = {"time": time, "random": random}
    exec(loop, names)  # the text of our own page
    order = system.place(userId="loop")["id"]
    statuses: list[int] = []

    def request(headers: dict[str, str], timeout: float) -> Answer:
        if not statuses:
            statuses.append(0)
            raise ConnectionError("the answer was lost")
        answer = system.pay(order, "tok_timeout_after", **headers)
        statuses.append(answer.status)
        return answer

    answer = names["send"](request, "loop-1")

    assert (answer.status, answer.json["status"]) == (200, "confirmed")
    assert statuses[:2] == [0, 202]
    assert len(system.ledger(order, "charge")) == 1


# --- the README says its answers in words ---

README: list[tuple[str, list[int], dict[str, Any], str]] = [
    (
        "-X POST http://127.0.0.1:8000/api/v1/orders \\",
        [201],
        {"status": "pending", "stock": "reserved", "total": 2190},
        '201: `"status":"pending"`, `"stock":"reserved"`, `"total":2190`.',
    ),
    (
        "/payment",
        [200, 200, 200, 200],
        {"status": "delivered"},
        "Each answers 200 with the order: `confirmed`, `processing`, `shipped`, `delivered`.",
    ),
    ("/history", [200, 200, 200], {"nextCursor": None}, "The history has six rows"),
    ("/refunds", [201], {"payment": {"refunded": 850}}, "Give the money back, in part or whole"),
    ("/cancel", [409], {"code": "not-cancellable"}, "This one was delivered, so the answer is 409 `not-cancellable`."),
]
"""A part of the block, the statuses of its requests, members of the last answer, and where the page says so."""


@pytest.mark.parametrize(("part", "statuses", "members", "sentence"), README)
def test_the_readme_says_what_is_answered(
    part: str, statuses: list[int], members: dict[str, Any], sentence: str, readme: list[tuple[Block, Ran]]
) -> None:
    block, result = next((b, r) for b, r in readme if part in b.text)

    assert sentence in (ROOT / "README.md").read_text()
    assert [reply.status for reply in result.replies] == statuses, block.text
    assert differs(result.replies[-1].json, members, "") is None


def test_every_command_of_the_readme_succeeds(readme: list[tuple[Block, Ran]]) -> None:
    assert [(block.text, ran.output) for block, ran in readme if ran.code != 0] == []


def test_the_readmes_history_has_six_rows_and_its_timeline_the_events(readme: list[tuple[Block, Ran]]) -> None:
    result = next(r for b, r in readme if "/history" in b.text)

    rows = result.replies[1].json["items"]
    assert [(row["fromStatus"], row["toStatus"]) for row in rows][:: len(rows) - 1] == [
        (None, "pending"),
        ("shipped", "delivered"),
    ]
    assert len(rows) == 6
    assert "order.delivered" in result.output


@pytest.fixture(scope="module")
def readme(system: System, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Block, Ran]]:
    """The blocks of the README and what became of them."""
    found = [b for b in blocks(ROOT / "README.md") if b.kind == "sh" and not _for_people(b)]
    return list(zip(found, run_blocks(found, system, tmp_path_factory.mktemp("readme")), strict=True))
