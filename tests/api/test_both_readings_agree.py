"""The fast reading and the second one are two writings of the same rules: neither may know what the other does not."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from order_service.api import bodies, examples, explain, rules, schemas
from order_service.api.refusals import MalformedJson, ValidationFailed
from order_service.api.routes import CREATE, STATUS
from order_service.api.strict import Reader

from .corpus import BODIES, full_order

_TEXT = st.text(max_size=6) | st.sampled_from(
    ["EUR", "GB", "ada", "shipped", "a\0", "https://a.b/", "4111 1111 1111 1111"]
)
_NUMBER = st.integers(-2, 3) | st.sampled_from([2**53 - 1, 2**53, 10**6, 10**6 + 1, 1.0, 1.5, 2**70])
_VALUE = st.recursive(
    st.none() | st.booleans() | _NUMBER | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every path into a body, inner ones included."""
    inner: list[tuple[str | int, ...]] = [path]
    if isinstance(value, dict):
        for name, member in value.items():
            inner += places(member, (*path, name))
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            inner += places(entry, (*path, index))
    return inner


@st.composite
def spoiled(draw: st.DrawFn, body: Any) -> Any:
    """The body with one to three places replaced, dropped or added to."""
    changed = copy.deepcopy(body)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places(changed)))
        if not path:
            continue
        parent = changed
        for step in path[:-1]:
            parent = parent[step]
        match draw(st.sampled_from(["replace", "drop", "add"])):
            case "replace":
                parent[path[-1]] = draw(_VALUE)
            case "drop":
                del parent[path[-1]]
            case "add" if isinstance(parent, dict):
                parent[draw(_TEXT)] = draw(_VALUE)
    return changed


def verdicts(reader: Reader[Any, Any], raw: bytes, tell: Any) -> tuple[bool, bool]:
    """Whether the first and whether the second reading finds nothing wrong."""
    try:
        reader.read(raw)
        first = True
    except ValidationFailed:
        first = False
    return first, not tell(raw)


def second_reading(shape: Any, rule: Any) -> Any:
    schema = schemas.validator(shape)
    return lambda raw: explain.faults(raw, schema, rule)


TELL_ORDER = second_reading(bodies.CreateOrder, rules.of_order)
TELL_STATUS = second_reading(bodies.PutStatus, rules.of_status)


@settings(max_examples=1500, deadline=None)
@given(spoiled(full_order()))
def test_both_readings_of_an_order_agree(body: Any) -> None:
    first, second = verdicts(CREATE, json.dumps(body).encode(), TELL_ORDER)
    assert first is second


@settings(max_examples=500, deadline=None)
@given(spoiled(BODIES[1][3]))
def test_both_readings_of_a_status_agree(body: Any) -> None:
    first, second = verdicts(STATUS, json.dumps(body).encode(), TELL_STATUS)
    assert first is second


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_bytes_break_the_reader(raw: bytes) -> None:
    with pytest.raises((MalformedJson, ValidationFailed)):
        CREATE.read(raw)


@settings(max_examples=1000, deadline=None)
@given(st.integers(0, 1200), st.binary(max_size=3))
def test_no_damage_to_a_good_body_breaks_the_reader(at: int, noise: bytes) -> None:
    raw = json.dumps(examples.ORDER).encode()
    damaged = raw[:at] + noise + raw[at + 1 :]
    try:
        CREATE.read(damaged)
    except MalformedJson:
        with pytest.raises(ValueError):
            json.loads(damaged.decode(errors="strict"))
    except ValidationFailed:
        json.loads(damaged)
    else:
        json.loads(damaged)


def test_if_the_second_reading_finds_nothing_the_first_ones_words_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain, "faults", lambda *_: [])
    with pytest.raises(ValidationFailed) as refused:
        CREATE.read(json.dumps(examples.ORDER | {"items": [examples.ORDER["items"][0], {"productId": 1}]}).encode())
    assert refused.value.extra["errors"] == [{"pointer": "/items/1/productId", "detail": "Expected `str`, got `int`"}]
    with pytest.raises(ValidationFailed) as refused:
        CREATE.read(json.dumps(examples.ORDER | {"currency": "ZZZ"}).encode())
    assert refused.value.extra["errors"] == [{"pointer": "", "detail": "is not acceptable"}]
