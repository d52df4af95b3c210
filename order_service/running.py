"""Where the running system is: the environment's word first, then what ``make run`` wrote down."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from order_service.config import Settings


def endpoints(settings: Settings) -> dict[str, Any]:
    """Addresses of the parts; a part that nobody named is missing."""
    known: dict[str, Any] = {}
    written = settings.data_dir / "endpoints.json"
    with suppress(OSError, ValueError):
        known = json.loads(written.read_text())
    if settings.database_url:
        known["database"] = settings.database_url
    if settings.kafka_bootstrap_servers:
        known["kafka"] = settings.kafka_bootstrap_servers
    known.setdefault("api", f"http://{settings.host}:{settings.port}")
    return known
