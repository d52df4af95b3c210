"""What would break for clients between two API descriptions.

One question answers all of it: does one schema allow whatever another allows? A new request schema must allow what
the old one allowed; an old response schema must allow what the new one does. Beside that, nothing that a client may
name is taken away: paths, operations, parameters, statuses, media types, headers, members of answers.

    python -m tools.openapi_diff OLD.json NEW.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.openapi_schemas import Comparison, resolve

Json = dict[str, Any]
METHODS = ("get", "put", "post", "delete", "patch", "head", "options", "trace")


def incompatible(old: Json, new: Json) -> list[str]:
    """Every change that could break a client of ``old``, as a sentence each."""
    found = list(_schemes(old, new))
    for path, was in old["paths"].items():
        now = new["paths"].get(path)
        if now is None:
            found.append(f"{path}: the path is gone")
            continue
        for method in METHODS:
            if method not in was:
                continue
            place = f"{method.upper()} {path}"
            if method not in now:
                found.append(f"{place}: the operation is gone")
            else:
                found.extend(f"{place}: {told}" for told in _operation(old, was[method], new, now[method]))
    return found


def _operation(old: Json, was: Json, new: Json, now: Json) -> Iterator[str]:
    yield from _security(old, was, new, now)
    yield from _parameters(old, was, new, now)
    yield from _request(old, was, new, now)
    for status, answer in was["responses"].items():
        if status not in now["responses"]:
            yield f"status {status} is gone"
        else:
            yield from _response(status, old, resolve(old, answer), new, resolve(new, now["responses"][status]))


def _schemes(old: Json, new: Json) -> Iterator[str]:
    """A scheme keeps what a client has to send; words about it may change."""
    now = new.get("components", {}).get("securitySchemes", {})
    for name, was in old.get("components", {}).get("securitySchemes", {}).items():
        if any(was.get(key) != now.get(name, {}).get(key) for key in ("type", "scheme", "in", "name")):
            yield f"the security scheme {name} has changed"


def _security(old: Json, was: Json, new: Json, now: Json) -> Iterator[str]:
    """Whoever was let in still is: each alternative is kept, and no scope is taken away."""
    accepted = now.get("security", new.get("security", []))
    for alternative in was.get("security", old.get("security", [])) or [{}]:
        if accepted and alternative not in accepted:
            yield f"credentials by {' and '.join(sorted(alternative)) or 'nobody'} no longer suffice"
    scopes = now.get("x-scopes", [])
    for scope in was.get("x-scopes", []):
        if scopes and scope not in scopes:
            yield f"the scope {scope} no longer suffices"


def _parameters(old: Json, was: Json, new: Json, now: Json) -> Iterator[str]:
    before, after = _named(old, was), _named(new, now)
    for (place, name), parameter in after.items():
        if (place, name) not in before:
            if parameter.get("required"):
                yield f"the {place} parameter {name} is new and required"
        elif parameter.get("required") and not before[place, name].get("required"):
            yield f"the {place} parameter {name} is now required"
    for (place, name), parameter in before.items():
        if (place, name) not in after:
            yield f"the {place} parameter {name} is gone"
        else:
            pair = after[place, name].get("schema", {}), parameter.get("schema", {})
            for told in Comparison(new, old).gaps(*pair, ""):
                yield f"the {place} parameter {name} no longer allows what it did: {told}"


def _named(document: Json, operation: Json) -> dict[tuple[str, str], Json]:
    parameters = (resolve(document, parameter) for parameter in operation.get("parameters", []))
    return {(p["in"], p["name"].lower() if p["in"] == "header" else p["name"]): p for p in parameters}


def _request(old: Json, was: Json, new: Json, now: Json) -> Iterator[str]:
    before, after = resolve(old, was.get("requestBody", {})), resolve(new, now.get("requestBody", {}))
    if after.get("required") and not before.get("required"):
        yield "a body is now required"
    for media_type, content in before.get("content", {}).items():
        if media_type not in after.get("content", {}):
            yield f"a body of {media_type} is no longer read"
            continue
        pair = after["content"][media_type].get("schema", {}), content.get("schema", {})
        for told in Comparison(new, old).gaps(*pair, ""):
            yield f"the body no longer allows what it did: {told}"


def _response(status: str, old: Json, was: Json, new: Json, now: Json) -> Iterator[str]:
    for name in was.get("headers", {}):
        if name.lower() not in {header.lower() for header in now.get("headers", {})}:
            yield f"the header {name} of {status} is gone"
    for media_type, content in was.get("content", {}).items():
        if media_type not in now.get("content", {}):
            yield f"{status} is no longer answered in {media_type}"
            continue
        pair = content.get("schema", {}), now["content"][media_type].get("schema", {})
        for told in Comparison(old, new, members_stay=True).gaps(*pair, ""):
            yield f"{status} may now be what it never was: {told}"


def main(old: str, new: str) -> int:
    """Print what is incompatible; 1 if anything is."""
    found = incompatible(json.loads(Path(old).read_text()), json.loads(Path(new).read_text()))
    print("\n".join(found) or "Every client of the old description can use the new one.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
