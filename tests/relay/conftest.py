"""Tests of the relay are coroutines on real servers."""

from tests.store.conftest import pytest_pyfunc_call

__all__ = ["pytest_pyfunc_call"]
