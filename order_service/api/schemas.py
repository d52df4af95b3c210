"""JSON Schemas of the bodies, exported from the very types that read them."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import msgspec


def request_schema(shape: type[msgspec.Struct]) -> dict[str, Any]:
    """The schema of one request body, with its parts under ``$defs``."""
    schema: dict[str, Any] = published(msgspec.json.schema(shape))
    return schema


def validator(shape: type[msgspec.Struct]) -> jsonschema_rs.Validator:
    """Finds every fault that the published schema of a body knows."""
    return jsonschema_rs.validator_for(request_schema(shape))


def published(schema: Any) -> Any:
    r"""The schema for readers of other languages: Python's ``\Z`` is JSON Schema's ``$``."""
    if isinstance(schema, dict):
        return {k: _pattern(v) if k == "pattern" else published(v) for k, v in schema.items()}
    if isinstance(schema, list):
        return [published(part) for part in schema]
    return schema


def _pattern(value: Any) -> Any:
    return value.replace(r"\Z", "$") if isinstance(value, str) else published(value)
