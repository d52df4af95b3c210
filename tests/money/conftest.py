"""How many lives are lived (the normal run lives a short form), and tests that are coroutines."""

from __future__ import annotations

import pytest

from tests.money.test_lives import SHORT
from tests.store.conftest import pytest_pyfunc_call

__all__ = ["pytest_addoption", "pytest_pyfunc_call"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--lives", type=int, default=SHORT, help="how many simulated lives to reconcile")
    parser.addoption("--life", type=int, default=None, help="replay this one life and print it")
