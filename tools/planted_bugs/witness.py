"""A pytest plugin that writes down which test failed first, and how: `-p tools.planted_bugs.witness`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

FILE = "PLANTED_BUGS_WITNESS"
_FIRST: dict[str, str] = {}


def pytest_exception_interact(
    node: pytest.Item | pytest.Collector, call: pytest.CallInfo[object], report: object
) -> None:
    """The first test that fails is the one that counts."""
    if _FIRST or call.excinfo is None:
        return
    error = call.excinfo.value
    _FIRST.update(test=node.nodeid, error=type(error).__name__, said=str(error)[:2000])
    Path(os.environ[FILE]).write_text(json.dumps(_FIRST))
