"""The second reading of a body that was refused: all of its faults at once, each with its place.

Order of the checks: UTF-8, depth, JSON (these end it with 400), then repeated members, NUL characters, the
published schema, and the rules that bind several members. Details never repeat what the client sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import jsonschema_rs
from jsonschema_rs import ValidationErrorKind as Kind

from order_service.api.bodies import USER_ID, WEB_URL
from order_service.api.refusals import Fault, MalformedJson

MAX_DEPTH = 32
MAX_DIGITS = 30
"""Digits of an integer that are read; a longer one is out of bounds anyway, and slow to convert."""

_NUL = "must not contain a NUL character"
_STRING_OR_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")
_PATTERNS = {
    USER_ID.replace(r"\Z", "$"): "must be 1 to 128 characters of A-Z a-z 0-9 . _ : @ -",
    WEB_URL.replace(r"\Z", "$"): "must be an http or https URL in ASCII",
}
_TYPES = {
    "string": "must be a string",
    "integer": "must be an integer, written without fraction or exponent",
    "object": "must be an object",
    "array": "must be an array",
}

Repeats = dict[int, list[str]]
Path = tuple[str | int, ...]


def faults(raw: bytes, schema: jsonschema_rs.Validator, rules: Callable[[Any], list[Fault]]) -> list[Fault]:
    """Every fault of the body, one per place and kind; raises ``MalformedJson`` if it is no JSON to speak of."""
    repeats: Repeats = {}
    body = parse(raw, repeats)
    found = [*_texts(body, (), repeats)]
    for error in schema.iter_errors(body):
        found.extend(_told(error))
    told = {fault.pointer for fault in found}
    found.extend(fault for fault in rules(body) if fault.pointer not in told)
    return list(dict.fromkeys(found))


def no_rules(_: Any) -> list[Fault]:
    """For bodies whose members are independent of each other."""
    return []


def escape(token: str | int) -> str:
    """One token of a JSON pointer (RFC 6901, section 3)."""
    return str(token).replace("~", "~0").replace("/", "~1")


def pointer(path: Path) -> str:
    """The JSON pointer of a path; the whole document is the empty pointer."""
    return "".join(f"/{escape(token)}" for token in path)


def parse(raw: bytes, repeats: Repeats) -> Any:
    """The body without types; ``repeats`` is filled with the names that an object, by its ``id``, has twice.

    Every number with a fraction or an exponent becomes 0.5, which no schema takes for an integer: 1.0 is not 1.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedJson(f"The body is not valid UTF-8 at byte {error.start}.") from None
    if _too_deep(raw):
        raise MalformedJson(f"The body is nested deeper than {MAX_DEPTH} levels.")

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            repeats[id(found)] = [name for name in found if names.count(name) > 1]
        return found

    try:
        return json.loads(
            text,
            object_pairs_hook=members,
            parse_float=lambda _: 0.5,
            parse_int=lambda digits: int(digits[:MAX_DIGITS]),
            parse_constant=_no_constant,
        )
    except json.JSONDecodeError as error:
        raise MalformedJson(f"The body is not valid JSON at character {error.pos}.") from None


def _no_constant(_: str) -> Any:
    raise MalformedJson("NaN and Infinity are not JSON.")


def _too_deep(raw: bytes) -> bool:
    depth = 0
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return False
    for token in _STRING_OR_BRACKETS.findall(raw):
        if token in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif token in b"]}":
            depth -= 1
    return False


def _texts(value: Any, path: Path, repeats: Repeats) -> Iterator[Fault]:
    """What no schema can say: NUL characters, and names that stand twice in one object."""
    if isinstance(value, str):
        if "\0" in value:
            yield Fault(pointer(path), _NUL)
        _no_surrogates(value)
    elif isinstance(value, dict):
        for name in repeats.get(id(value), ()):
            yield Fault(pointer((*path, name)), "appears more than once")
        for name, member in value.items():
            _no_surrogates(name)
            if "\0" in name:
                yield Fault(pointer((*path, name)), "is a name with a NUL character")
            yield from _texts(member, (*path, name), repeats)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _texts(member, (*path, index), repeats)


def _no_surrogates(text: str) -> None:
    if not text.isascii() and _SURROGATE.search(text):
        raise MalformedJson("The body escapes half of a surrogate pair, which is no character.")


def _told(error: jsonschema_rs.ValidationError) -> Iterator[Fault]:
    """One fault of the schema in our words; where there are branches, those of the branch that was meant."""
    path = tuple(error.instance_path)
    match error.kind:
        case Kind.Required(property=name):
            yield Fault(pointer((*path, name)), "is required")
        case Kind.AdditionalProperties(unexpected=names):
            for name in names:
                yield Fault(pointer((*path, name)), "is not a known member")
        case Kind.PropertyNames(error=inner):
            yield Fault(pointer((*path, str(inner.instance))), f"as a name {_sentence(inner.kind)}")
        case Kind.AnyOf(context=branches):
            meant = [b for b in branches if not _other_type(b, path)] or branches[:1]
            for inner in meant[0]:
                yield from _told(inner)
        case kind:
            yield Fault(pointer(path), _sentence(kind))


def _other_type(branch: list[jsonschema_rs.ValidationError], path: Path) -> bool:
    return any(isinstance(e.kind, Kind.Type) and tuple(e.instance_path) == path for e in branch)


def _sentence(kind: jsonschema_rs.ValidationErrorKind) -> str:
    match kind:
        case Kind.Type(types=types):
            return _TYPES.get(types[0], f"must be of type {types[0]}")
        case Kind.MinLength(limit=1):
            return "must not be empty"
        case Kind.MinLength(limit=limit):
            return f"must have at least {limit} characters"
        case Kind.MaxLength(limit=limit):
            return f"must have at most {limit} characters"
        case Kind.Minimum(limit=limit):
            return f"must be at least {limit}"
        case Kind.Maximum(limit=limit):
            return f"must be at most {limit}"
        case Kind.MinItems(limit=limit):
            return f"must have at least {limit} entries"
        case Kind.MaxItems(limit=limit) | Kind.MaxProperties(limit=limit):
            return f"must have at most {limit} entries"
        case Kind.Pattern(pattern=pattern):
            return _PATTERNS.get(pattern, "has not the form asked for")
        case Kind.Enum(options=options) if len(options) <= 12:
            return f"must be one of {', '.join(str(option) for option in options)}"
        case Kind.Enum():
            return "is not a code that is known"
        case _:
            return "is not acceptable"
