"""The pages that are made from the code's tables are up to date, and the service's own pages say the same."""

from __future__ import annotations

import re
from html import unescape

import pytest

from order_service.api.catalogue import CATALOGUE
from order_service.core.lifecycle import MOVES
from tests.docs.pages import ROOT
from tests.system.harness import System
from tools.write_docs import generated


@pytest.mark.parametrize("page", generated())
def test_a_generated_page_is_up_to_date(page: str) -> None:
    assert (ROOT / "docs" / page).read_text() == generated()[page], f"run `make docs`: docs/{page} is out of date"


def test_the_page_at_the_service_says_what_the_catalogue_says(system: System) -> None:
    text = (ROOT / "docs/errors.md").read_text()
    for entry in CATALOGUE.values():
        answer = system.call("GET", f"/docs/errors/{entry.code}")
        told = unescape(re.sub(r"<[^>]+>", " ", answer.body.decode()))

        section = text.partition(f"\n## {entry.code}\n")[2].partition("\n## ")[0]
        assert answer.status == 200
        for sentence in (entry.meaning, entry.remedy, entry.title):
            assert " ".join(sentence.split()) in " ".join(told.split())
            assert " ".join(sentence.split()).replace("``", "`").replace("|", "\\|") in section


def test_every_move_has_a_letter_of_its_own() -> None:
    text = (ROOT / "docs/lifecycle.md").read_text()

    letters = re.findall(r"^\| ([A-Z]) \|", text, re.MULTILINE)
    assert len(letters) == len(set(letters)) == sum(len(targets) for targets in MOVES.values())
    assert re.findall(r"^    \S+ --> \S+: ([A-Z])$", text, re.MULTILINE) == letters
