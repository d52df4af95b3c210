"""Tests of the points that are coroutines run on a loop of their own."""

from __future__ import annotations

from tests.store.conftest import pytest_pyfunc_call

__all__ = ["pytest_pyfunc_call"]
