"""What can be seen of the documents without running anything: their links, their JSON, and their words."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, anchors, blocks, links, name, pages

_FOREIGN = re.compile(r"https?://([^/\s:)\"'`>]+)")
_OUR_HOSTS = re.compile(r"127\.0\.0\.1|\[::1\]|localhost|([a-z]+\.)*example\.com|HOST")


@pytest.mark.parametrize("page", pages(), ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        if link.startswith("http"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in anchors(target), f"{link}: there is no such heading"


@pytest.mark.parametrize("page", pages(), ids=name)
def test_every_json_example_is_json(page: Path) -> None:
    for block in blocks(page):
        if block.kind == "json":
            json.loads(block.text)


@pytest.mark.parametrize("page", pages(), ids=name)
def test_every_block_says_what_it_is(page: Path) -> None:
    """``sh`` is run; whatever is not to be run says so by another name."""
    known = {"sh", "http", "json", "text", "python", "mermaid", "console", "sql", "make"}
    if page.parent == ROOT / "docs":
        assert {block.kind for block in blocks(page)} <= known


@pytest.mark.parametrize("page", pages(), ids=name)
def test_examples_name_no_hosts_but_this_machine_and_example_com(page: Path) -> None:
    for host in _FOREIGN.findall(page.read_text()):
        assert _OUR_HOSTS.fullmatch(host), host


def test_the_index_lists_every_page() -> None:
    listed = {(ROOT / "docs" / link.partition("#")[0]).resolve() for link in links(ROOT / "docs/README.md")}

    assert [name(p) for p in pages() if p.parent != ROOT and p not in listed and p.name != "README.md"] == []


def test_every_word_of_make_that_is_written_down_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    for page in pages():
        for block in blocks(page):
            for target in re.findall(r"^make ([a-z-]+)", block.text, re.MULTILINE):
                assert target in targets, f"{name(page)}: make {target}"


DECISIONS = sorted((ROOT / "docs/decisions").glob("*.md"))


@pytest.mark.parametrize("page", DECISIONS, ids=name)
def test_a_decision_has_its_parts_and_names_checks_that_exist(page: Path) -> None:
    text = page.read_text()
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences", "Enforced by"]

    checks = text.partition("## Enforced by")[2]
    written = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", checks)
    assert [check for check in named if f"def {check}(" not in written] == []
    files = re.findall(r"`(tests/[\w/.]+)`", checks)
    assert named or files
    assert [path for path in files if not (ROOT / path).exists()] == []


def test_decisions_are_numbered_from_one() -> None:
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))
