"""The operators' page names every line of the log, every metric and every reason for attention, and no others."""

from __future__ import annotations

import ast
import re
import uuid
from collections.abc import Iterator

from order_service.core import facets
from order_service.metrics import REGISTRY
from tests.docs.pages import ROOT, blocks
from tests.system.harness import System

PAGE = (ROOT / "docs/operations.md").read_text()
PACKAGE = ROOT / "order_service"
_LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "exception": "error"}
_NAMES = {"f'{name}_failed'": ("claim_failed", "sweep_failed", "purge_failed"), "what": ()}
"""Events whose names are put together: those of ``Worker._repeat``; ``Relay._trouble`` hands its names on."""

Line = tuple[str, str, tuple[str, ...]]


def section(heading: str) -> str:
    """The text of the page from this heading to the next of its kind."""
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def logged() -> Iterator[Line]:
    """Level, event and fields of every line that the code can log."""
    for path in PACKAGE.rglob("*.py"):
        if "embedded" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            told, method = node.func.value, node.func.attr
            if method == "_trouble":
                yield "error", ast.literal_eval(node.args[0]), ("error", "owner")
            elif isinstance(told, ast.Name) and told.id in ("log", "_log") and method in _LEVELS:
                fields = tuple(keyword.arg or "**" for keyword in node.keywords)
                name = ast.unparse(node.args[0])
                for event in _NAMES.get(name) or ([] if name in _NAMES else [ast.literal_eval(node.args[0])]):
                    yield _LEVELS[method], event, fields


def test_every_line_of_the_log_is_documented() -> None:
    rows = re.findall(r"^\| (\w+) \| `([^`]+)` \|([^|]*)\|[^|]*\|$", section("Logs"), re.MULTILINE)
    told = {(level, event, tuple(filter(None, fields.strip().split(", ")))) for level, event, fields in rows}

    assert set(logged()) - told == set(), "the table of docs/operations.md lacks these lines: level, event, fields"
    assert told - set(logged()) == set(), "docs/operations.md names lines that nothing logs"


def test_every_metric_is_documented() -> None:
    ours = {family.name for family in REGISTRY.collect() if family.name.startswith("order_service_")}

    assert set(re.findall(r"`(order_service_\w+)`", section("Metrics"))) == ours


def test_every_reason_for_attention_is_documented() -> None:
    flows = "".join(path.read_text() for path in (PACKAGE / "core").glob("*.py"))
    parked = set(re.findall(r'draft\.park\(call, "([a-z-]+)"', flows)) | {facets.STOCK_NOT_HELD, facets.REFUND_FAILED}

    assert set(re.findall(r"^\| `([a-z-]+)` \|", section("Attention"), re.MULTILINE)) == parked


def test_every_sql_example_runs(system: System) -> None:
    examples = [block.text for block in blocks(ROOT / "docs/operations.md") if block.kind == "sql"]
    assert examples

    for text in examples:
        for statement in filter(str.strip, text.replace("'...'", f"'{uuid.uuid4()}'").split(";")):
            system.rows(statement)
