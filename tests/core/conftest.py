"""The option that lets the exhaustive walk go its full length."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest tests/core --full-walk`: minutes instead of seconds."""
    parser.addoption("--full-walk", action="store_true", help="walk the rules to the full bound (minutes)")
