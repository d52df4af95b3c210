"""Writes the published API description, ``docs/openapi.json``; with ``release``, also what later changes must keep.

    python -m tools.openapi [release]

``docs/openapi.released.json`` is the description that clients were given last. It is renewed by hand when a release is
made, and only then may it lose anything; a comparison with the last commit would forget a break one commit later.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from order_service.api.openapi import document

DOCS = Path(__file__).parent.parent / "docs"
PUBLISHED = DOCS / "openapi.json"
RELEASED = DOCS / "openapi.released.json"


def text() -> bytes:
    """The description of this source, as it is committed."""
    return msgspec.json.format(msgspec.json.encode(document()), indent=2) + b"\n"


def main(*words: str) -> None:
    """Write the file, or both."""
    for file in (PUBLISHED, RELEASED) if words == ("release",) else (PUBLISHED,):
        file.write_bytes(text())
        print(f"Wrote {file.name}")


if __name__ == "__main__":
    main(*sys.argv[1:])
