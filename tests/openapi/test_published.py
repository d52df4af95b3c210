"""The committed description is the served one, a validator accepts it, and no client of the last release breaks."""

from __future__ import annotations

import json

import msgspec
from openapi_spec_validator import OpenAPIV31SpecValidator

from order_service.api.openapi import document
from tools.openapi import PUBLISHED, RELEASED, text
from tools.openapi_diff import incompatible


def test_the_published_description_is_the_served_one() -> None:
    assert PUBLISHED.read_bytes() == text(), "run 'make openapi' and commit docs/openapi.json"


def test_a_validator_finds_no_fault_in_the_description() -> None:
    told = json.loads(msgspec.json.encode(document()))
    assert [error.message for error in OpenAPIV31SpecValidator(told).iter_errors()] == []


def test_no_client_of_the_released_description_breaks() -> None:
    found = incompatible(json.loads(RELEASED.read_text()), json.loads(PUBLISHED.read_text()))
    assert not found, "\n".join(["incompatible with docs/openapi.released.json:", *found])
