"""Each kind of change that breaks a client is found, told in one sentence, and nothing harmless is taken for one."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from tools.openapi_diff import incompatible, main

Json = dict[str, Any]
ORDER: Json = {
    "type": "object",
    "required": ["id", "total"],
    "properties": {
        "id": {"type": "string"},
        "total": {"type": "integer", "minimum": 0},
        "status": {"enum": ["pending", "shipped"]},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Order"}},
    },
}
BODY: Json = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 100, "pattern": "^[a-z]+$"},
        "count": {"type": "integer", "minimum": 1, "maximum": 10},
        "kind": {"enum": ["a", "b"]},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 5},
        "more": {"type": "object", "additionalProperties": {"type": "string", "maxLength": 9}},
        "reason": {"anyOf": [{"type": "string", "maxLength": 5}, {"type": "null"}]},
    },
}
DOCUMENT: Json = {
    "paths": {
        "/orders": {
            "post": {
                "security": [{"key": []}, {"token": []}],
                "x-scopes": ["customer", "staff"],
                "parameters": [
                    {"in": "header", "name": "Trace", "schema": {"type": "string"}},
                    {"in": "query", "name": "limit", "schema": {"type": "integer", "maximum": 100}},
                ],
                "requestBody": {
                    "required": False,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Body"}}},
                },
                "responses": {
                    "201": {
                        "headers": {"ETag": {"schema": {"type": "string"}}},
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Order"}}},
                    },
                    "409": {"content": {"application/problem+json": {"schema": {"type": "object"}}}},
                },
            },
            "get": {"security": [], "responses": {"200": {}}},
        }
    },
    "components": {
        "schemas": {"Order": ORDER, "Body": BODY},
        "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}, "token": {"type": "http", "scheme": "bearer"}},
    },
}
Change = Callable[[Json], Any]


def parts(document: Json) -> tuple[Json, Json, Json]:
    """The operation, the properties of its body, the properties of its answer."""
    schemas = document["components"]["schemas"]
    return document["paths"]["/orders"]["post"], schemas["Body"]["properties"], schemas["Order"]["properties"]


def on_operation(change: Callable[[Json], Any]) -> Change:
    return lambda document: change(parts(document)[0])


def on_body(change: Callable[[Json], Any]) -> Change:
    return lambda document: change(parts(document)[1])


def on_answer(change: Callable[[Json], Any]) -> Change:
    return lambda document: change(parts(document)[2])


def on_schema(name: str, change: Callable[[Json], Any]) -> Change:
    return lambda document: change(document["components"]["schemas"][name])


NO_BODY = "POST /orders: the body no longer allows what it did: "
NO_ANSWER = "POST /orders: 201 may now be what it never was: "
LIMIT = "POST /orders: the query parameter limit "
BREAKS: dict[str, tuple[Change, str]] = {
    "a path removed": (lambda d: d["paths"].clear(), "/orders: the path is gone"),
    "an operation removed": (lambda d: d["paths"]["/orders"].pop("get"), "GET /orders: the operation is gone"),
    "a status removed": (on_operation(lambda o: o["responses"].pop("409")), "POST /orders: status 409 is gone"),
    "a header of an answer removed": (
        on_operation(lambda o: o["responses"]["201"]["headers"].clear()),
        "POST /orders: the header ETag of 201 is gone",
    ),
    "a media type of an answer removed": (
        on_operation(lambda o: o["responses"]["201"].update(content={"text/xml": {}})),
        "POST /orders: 201 is no longer answered in application/json",
    ),
    "a media type of a body removed": (
        on_operation(lambda o: o["requestBody"].update(content={"text/xml": {}})),
        "POST /orders: a body of application/json is no longer read",
    ),
    "a body required": (
        on_operation(lambda o: o["requestBody"].update(required=True)),
        "POST /orders: a body is now required",
    ),
    "a parameter removed": (on_operation(lambda o: o["parameters"].pop()), LIMIT + "is gone"),
    "a new required parameter": (
        on_operation(lambda o: o["parameters"].append({"in": "query", "name": "shop", "required": True})),
        "POST /orders: the query parameter shop is new and required",
    ),
    "a parameter required": (
        on_operation(lambda o: o["parameters"][1].update(required=True)),
        LIMIT + "is now required",
    ),
    "a parameter narrowed": (
        on_operation(lambda o: o["parameters"][1]["schema"].update(maximum=50)),
        LIMIT + "no longer allows what it did: the whole has maximum 100, not 50",
    ),
    "an open operation closed": (
        lambda d: d["paths"]["/orders"]["get"].update(security=[{"key": []}]),
        "GET /orders: credentials by nobody no longer suffice",
    ),
    "a kind of credentials removed": (
        on_operation(lambda o: o["security"].pop()),
        "POST /orders: credentials by token no longer suffice",
    ),
    "a scope removed": (
        on_operation(lambda o: o["x-scopes"].remove("customer")),
        "POST /orders: the scope customer no longer suffices",
    ),
    "a security scheme changed": (
        lambda d: d["components"]["securitySchemes"]["key"].update(scheme="basic"),
        "the security scheme key has changed",
    ),
    "a member of a body required": (
        on_schema("Body", lambda s: s["required"].append("count")),
        NO_BODY + ".count is required on one side only",
    ),
    "a member of a body removed": (on_body(lambda b: b.pop("count")), NO_BODY + ".count is not known on both sides"),
    "a value of a body's enumeration removed": (
        on_body(lambda b: b["kind"]["enum"].remove("b")),
        NO_BODY + ".kind may be 'b'",
    ),
    "a text of a body enumerated": (
        on_body(lambda b: b.update(name={"enum": ["x"], "type": "string"})),
        NO_BODY + ".name may be more than the 1 values listed",
    ),
    "a type of a body changed": (
        on_body(lambda b: b.update(count={"type": "string"})),
        NO_BODY + ".count has type integer, not string",
    ),
    "null no longer allowed": (
        on_body(lambda b: b.update(reason={"type": "string", "maxLength": 5})),
        NO_BODY + ".reason has type null, not string",
    ),
    "a maximum lowered": (
        on_body(lambda b: b["count"].update(maximum=9)),
        NO_BODY + ".count has maximum 10, not 9",
    ),
    "a minimum raised": (on_body(lambda b: b["count"].update(minimum=2)), NO_BODY + ".count has minimum 1, not 2"),
    "a text shortened": (
        on_body(lambda b: b["name"].update(maxLength=99)),
        NO_BODY + ".name has maxLength 100, not 99",
    ),
    "a length in one branch shortened": (
        on_body(lambda b: b["reason"]["anyOf"][0].update(maxLength=4)),
        NO_BODY + ".reason has maxLength 5, not 4",
    ),
    "a list shortened": (on_body(lambda b: b["tags"].update(maxItems=4)), NO_BODY + ".tags has maxItems 5, not 4"),
    "the entries of a list narrowed": (
        on_body(lambda b: b["tags"]["items"].update(maxLength=4)),
        NO_BODY + ".tags[] has maxLength none, not 4",
    ),
    "the values of a map narrowed": (
        on_body(lambda b: b["more"]["additionalProperties"].update(maxLength=8)),
        NO_BODY + ".more.* has maxLength 9, not 8",
    ),
    "a pattern changed": (
        on_body(lambda b: b["name"].update(pattern="^[a-c]+$")),
        NO_BODY + ".name has pattern ^[a-z]+$, not ^[a-c]+$",
    ),
    "a member of an answer removed": (on_answer(lambda a: a.pop("status")), NO_ANSWER + ".status is gone"),
    "a member of an answer no longer certain": (
        on_schema("Order", lambda s: s["required"].remove("total")),
        NO_ANSWER + ".total is required on one side only",
    ),
    "a type of an answer widened": (
        on_answer(lambda a: a.update(id={"type": ["string", "null"]})),
        NO_ANSWER + ".id has type null, not string",
    ),
    "a new value in an answer's enumeration": (
        on_answer(lambda a: a["status"]["enum"].append("lost")),
        NO_ANSWER + ".status may be 'lost'",
    ),
    "a bound of an answer dropped": (
        on_answer(lambda a: a["total"].pop("minimum")),
        NO_ANSWER + ".total has minimum none, not 0",
    ),
}
HARMLESS: dict[str, Change] = {
    "a new path": lambda d: d["paths"].update({"/more": {"get": {"responses": {}}}}),
    "a new operation": lambda d: d["paths"]["/orders"].update(put={"responses": {}}),
    "a new status": on_operation(lambda o: o["responses"].update({"429": {}})),
    "a new optional parameter": on_operation(lambda o: o["parameters"].append({"in": "query", "name": "shop"})),
    "other words": on_operation(lambda o: o.update(summary="Place an order")),
    "a header in other letters": on_operation(lambda o: o["parameters"][0].update(name="TRACE")),
    "another kind of credentials": on_operation(lambda o: o["security"].append({"mtls": []})),
    "an operation opened": on_operation(lambda o: o.update(security=[])),
    "a further scope": on_operation(lambda o: o["x-scopes"].append("service")),
    "a new optional member of a body": on_body(lambda b: b.update(colour={"type": "string"})),
    "a member of a body no longer required": on_schema("Body", lambda s: s["required"].clear()),
    "further members of a body allowed": on_schema("Body", lambda s: s.pop("additionalProperties")),
    "a maximum raised": on_body(lambda b: b["count"].update(maximum=11)),
    "an integer that may be any number": on_body(lambda b: b["count"].update(type="number")),
    "a new value in a body's enumeration": on_body(lambda b: b["kind"]["enum"].append("c")),
    "null allowed": on_body(lambda b: b.update(kind={"anyOf": [b["kind"], {"type": "null"}]})),
    "a pattern dropped": on_body(lambda b: b["name"].pop("pattern")),
    "a new member of an answer": on_answer(lambda a: a.update(colour={"type": "string"})),
    "an answer's text that is one of few": on_answer(lambda a: a.update(id={"type": "string", "enum": ["x"]})),
    "a value of an answer that comes no more": on_answer(lambda a: a["status"]["enum"].remove("shipped")),
    "an answer that is never null again": on_answer(lambda a: a.update(note={"type": "string"})),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_change_that_breaks_clients_is_found(name: str) -> None:
    change, sentence = BREAKS[name]
    changed = copy.deepcopy(DOCUMENT)
    change(changed)
    assert incompatible(DOCUMENT, changed) == [sentence]


@pytest.mark.parametrize("name", HARMLESS)
def test_a_change_that_breaks_nobody_is_let_through(name: str) -> None:
    changed = copy.deepcopy(DOCUMENT)
    HARMLESS[name](changed)
    assert changed != DOCUMENT
    assert incompatible(DOCUMENT, changed) == []


def test_the_command_fails_on_an_incompatible_change_alone(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    changed = copy.deepcopy(DOCUMENT)
    BREAKS["an operation removed"][0](changed)
    (tmp_path / "old.json").write_text(json.dumps(DOCUMENT))
    (tmp_path / "new.json").write_text(json.dumps(changed))
    old, new = str(tmp_path / "old.json"), str(tmp_path / "new.json")
    assert main(old, new) == 1
    assert main(new, old) == 0
    assert capsys.readouterr().out == (
        "GET /orders: the operation is gone\nEvery client of the old description can use the new one.\n"
    )
