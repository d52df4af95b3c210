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

from order_service.api.bodies import MAX_ITEMS, MAX_TEXT, MEMBERS, USER_ID, WEB_URL
from order_service.api.refusals import Fault, MalformedJson

MAX_DEPTH = 32
MAX_DIGITS = 30
"""Digits of an integer that are read; a longer one is out of bounds anyway, and slow to convert."""

MAX_UNKNOWN = 100
"""Members of one object that are looked at; the known ones are looked at wherever they stand."""
MAX_VALUES = 4_000
"""Values of one body that are looked at: a full order has about 1,100."""

_NUL = "must not contain a NUL character"
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_SAME_BRACKETS = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(code for code in range(256) if code not in b"{}[]")
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
    walk = Walk(repeats)
    body = walk.pruned(body, ())
    if walk.values > MAX_VALUES:
        return [Fault("", f"holds more than {MAX_VALUES} values, more than any request needs")]
    found = walk.found
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
            names: set[str] = set()
            twice = [name for name, _ in pairs if name in names or names.add(name)]  # type: ignore[func-returns-value]
            repeats[id(found)] = list(dict.fromkeys(twice))
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
    except RecursionError:
        raise MalformedJson("The body is not valid JSON: its brackets do not match.") from None


def _no_constant(_: str) -> Any:
    raise MalformedJson("NaN and Infinity are not JSON.")


def _too_deep(raw: bytes) -> bool:
    """Whether brackets nest deeper than ``MAX_DEPTH``, by taking away the innermost pairs level by level."""
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return False
    left = _STRING.sub(b"", raw).translate(_SAME_BRACKETS, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        left = left.replace(b"[]", b"")
    return left.count(b"[") > MAX_DEPTH or b"[]" in left


class Walk:
    """One walk through a body: finds what no schema can say, and cuts off what no request needs.

    Found are NUL characters and names that stand twice in one object. The cut keeps every fault that matters and
    bounds the time of the schema's check, which would otherwise take seconds for 256 KiB of small faults.
    """

    def __init__(self, repeats: Repeats) -> None:
        self.found: list[Fault] = []
        self.values = 0
        self._repeats = repeats

    def pruned(self, value: Any, path: Path) -> Any:
        """The value, cut to size."""
        self.values += 1
        if isinstance(value, str):
            if "\0" in value:
                self.found.append(Fault(pointer(path), _NUL))
            _no_surrogates(value)
            return value[: MAX_TEXT + 1]
        if isinstance(value, dict):
            return self._members(value, path)
        if isinstance(value, list):
            entries = enumerate(value[: MAX_ITEMS + 1])
            return [self.pruned(entry, (*path, index)) for index, entry in entries if self.values <= MAX_VALUES]
        return value

    def _members(self, value: dict[str, Any], path: Path) -> dict[str, Any]:
        for name in self._repeats.get(id(value), [])[:MAX_UNKNOWN]:
            self.found.append(Fault(pointer((*path, name)), "appears more than once"))
        if len(value) > MAX_UNKNOWN:
            self.found.append(Fault(pointer(path), f"has more than {MAX_UNKNOWN} members"))
        kept: dict[str, Any] = {}
        for number, (name, member) in enumerate(value.items()):
            if (number >= MAX_UNKNOWN and name not in MEMBERS) or self.values > MAX_VALUES:
                continue
            _no_surrogates(name)
            if "\0" in name:
                self.found.append(Fault(pointer((*path, name)), "is a name with a NUL character"))
            kept[name] = self.pruned(member, (*path, name))
        return kept


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
