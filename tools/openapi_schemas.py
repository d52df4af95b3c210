"""Whether one JSON Schema allows whatever another allows, as far as API descriptions go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

_FLOORS = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_CEILINGS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_EXACT = ("pattern", "format", "multipleOf", "uniqueItems")


def resolve(document: Json, part: Json) -> Json:
    """What a reference leads to, or the part itself."""
    while isinstance(part.get("$ref"), str):
        found: Any = document
        for step in part["$ref"].removeprefix("#/").split("/"):
            found = found[step.replace("~1", "/").replace("~0", "~")]
        part = found
    return part


class Comparison:
    """Compares schemas of two documents.

    ``wide`` must allow what ``narrow`` does. ``members_stay``: a member that ``wide`` names must be named by
    ``narrow`` too, because a reader of answers looks for it.
    """

    def __init__(self, wide: Json, narrow: Json, *, members_stay: bool = False) -> None:
        self._wide = wide
        self._narrow = narrow
        self._members_stay = members_stay
        self._under_way: set[tuple[str, str]] = set()

    def gaps(self, wide: Json, narrow: Json, place: str) -> Iterator[str]:
        """What ``narrow`` allows and ``wide`` does not, or what is missing."""
        pair = (str(wide.get("$ref")), str(narrow.get("$ref")))
        if pair[0] != "None" and pair in self._under_way:
            return
        self._under_way.add(pair)
        wide, narrow = resolve(self._wide, wide), resolve(self._narrow, narrow)
        choices = self._branches(self._wide, wide)
        for branch in self._branches(self._narrow, narrow):
            told = [list(self._one(choice, branch, place)) for choice in choices]
            if not any(found == [] for found in told):
                yield from self._nearest(choices, branch, told)
        self._under_way.discard(pair)

    def _nearest(self, choices: list[Json], branch: Json, told: list[list[str]]) -> list[str]:
        """The gaps to the branch that was meant: one of the same type, with the fewest."""
        same = [gaps for choice, gaps in zip(choices, told, strict=True) if choice.get("type") == branch.get("type")]
        return min(same or told, key=len)

    def _branches(self, document: Json, schema: Json) -> list[Json]:
        """The alternatives of a schema, each with one type at most."""
        schema = resolve(document, schema)
        for word in ("anyOf", "oneOf"):
            if word in schema:
                return [branch for part in schema[word] for branch in self._branches(document, part)]
        if isinstance(schema.get("type"), list):
            return [{**schema, "type": kind} for kind in schema["type"]]
        return [schema]

    def _one(self, wide: Json, narrow: Json, place: str) -> Iterator[str]:
        name = place or "the whole"
        if wide.get("type") is not None and not _same_type(wide, narrow):
            yield f"{name} has type {narrow.get('type', 'any')}, not {wide['type']}"
            return
        yield from _values(wide, narrow, name)
        yield from _bounds(wide, narrow, name)
        yield from self._members(wide, narrow, place)
        if "items" in wide:
            yield from self.gaps(wide["items"], narrow.get("items", {}), f"{place}[]")
        for word in ("additionalProperties", "propertyNames"):
            if isinstance(wide.get(word), dict) and isinstance(narrow.get(word, {}), dict):
                yield from self.gaps(wide[word], narrow.get(word, {}), f"{place}.*")

    def _members(self, wide: Json, narrow: Json, place: str) -> Iterator[str]:
        ours, theirs = wide.get("properties", {}), narrow.get("properties", {})
        for name in wide.get("required", []):
            if name not in narrow.get("required", []):
                yield f"{place}.{name} is required on one side only"
        for name, schema in theirs.items():
            if name in ours:
                yield from self.gaps(ours[name], schema, f"{place}.{name}")
            elif wide.get("additionalProperties") is False:
                yield f"{place}.{name} is not known on both sides"
        if wide.get("additionalProperties") is False and narrow.get("additionalProperties", True) is not False:
            yield f"{place or 'the whole'} may have further members on one side only"
        if self._members_stay:
            yield from (f"{place}.{name} is gone" for name in ours if name not in theirs)


def _same_type(wide: Json, narrow: Json) -> bool:
    kinds = (wide["type"], narrow.get("type", _kind_of_values(narrow)))
    return kinds[0] == kinds[1] or kinds == ("number", "integer")


def _kind_of_values(schema: Json) -> str | None:
    """The type of what an enumeration without a type lists."""
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    return "string" if values and all(isinstance(value, str) for value in values) else None


def _values(wide: Json, narrow: Json, name: str) -> Iterator[str]:
    allowed, asked = _listed(wide), _listed(narrow)
    if allowed is None:
        return
    if asked is None:
        yield f"{name} may be more than the {len(allowed)} values listed"
    else:
        yield from (f"{name} may be {value!r}" for value in asked if value not in allowed)


def _listed(schema: Json) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _bounds(wide: Json, narrow: Json, name: str) -> Iterator[str]:
    if _listed(narrow) is not None:
        return
    for word in _FLOORS:
        if word in wide and (word not in narrow or narrow[word] < wide[word]):
            yield f"{name} has {word} {narrow.get(word, 'none')}, not {wide[word]}"
    for word in _CEILINGS:
        if word in wide and (word not in narrow or narrow[word] > wide[word]):
            yield f"{name} has {word} {narrow.get(word, 'none')}, not {wide[word]}"
    for word in _EXACT:
        if word in wide and narrow.get(word) != wide[word]:
            yield f"{name} has {word} {narrow.get(word, 'none')}, not {wide[word]}"
