"""The documentation that the service carries itself: no script, and no request to another host."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from html import escape
from typing import Any

import msgspec

from order_service.api.answers import HTML, JSON, Answer
from order_service.api.catalogue import CATALOGUE, Entry
from order_service.api.exchange import Exchange
from order_service.api.openapi import document
from order_service.api.operations import EDGE, OPERATIONS, Operation
from order_service.api.query import no_query
from order_service.api.refusals import NotFound

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
code, pre { font-family: ui-monospace, monospace; font-size: .9em; }
pre { overflow-x: auto; padding: .75rem; border: 1px solid #8886; border-radius: .4rem; }
section { border-top: 1px solid #8886; margin-top: 1.5rem; }
table { border-collapse: collapse; }
th, td { text-align: left; vertical-align: top; padding: .15rem 1rem .15rem 0; }
.method { font-weight: 700; }
"""
_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; frame-ancestors 'none'".encode()


class DocRoutes:
    """The operations that describe the API."""

    async def openapi(self, exchange: Exchange) -> Answer:
        """GET /openapi.json."""
        return Answer(exchange, 200, JSON, _description())

    async def docs(self, exchange: Exchange) -> Answer:
        """GET /docs."""
        return _page(exchange, _overview())

    async def error(self, exchange: Exchange) -> Answer:
        """GET /docs/errors/{code}."""
        no_query(exchange)
        entry = CATALOGUE.get(exchange.params["code"])
        if entry is None:
            raise NotFound
        return _page(exchange, _error(entry))


def _page(exchange: Exchange, body: bytes) -> Answer:
    answer = Answer(exchange, 200, HTML, body)
    answer.add(b"content-security-policy", _POLICY)
    return answer


@cache
def _description() -> bytes:
    return msgspec.json.encode(document())


def _html(title: str, body: str) -> bytes:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><main>{body}</main></body></html>\n"
    ).encode()


@cache
def _error(entry: Entry) -> bytes:
    body = (
        f"<h1>{escape(entry.title)}</h1>"
        f"<p><code>{entry.code}</code>, HTTP status {entry.status}</p>"
        f"<h2>What it means</h2><p>{escape(entry.meaning)}</p>"
        f"<h2>What to do</h2><p>{escape(entry.remedy)}</p>"
        '<p><a href="/docs">All operations and codes</a></p>'
    )
    return _html(f"{entry.title} - Order Service", body)


@cache
def _overview() -> bytes:
    described = document()
    contents = "".join(
        f'<li><a href="#{op.name}"><span class="method">{op.method}</span> <code>{op.path}</code></a></li>'
        for op in OPERATIONS
    )
    operations = "".join(_operation(op, described["paths"][op.path][op.method.lower()]) for op in OPERATIONS)
    codes = "".join(
        f"<tr><td>{entry.status}</td><td>{_code(entry.code)}</td><td>{escape(entry.meaning)}</td></tr>"
        for entry in sorted(CATALOGUE.values(), key=lambda e: (e.status, e.code))
    )
    every = ", ".join(_code(code) for code in EDGE)
    body = (
        f"<h1>Order Service API</h1><p>{escape(described['info']['description'])} For machines: "
        '<a href="/openapi.json">/openapi.json</a>.</p>'
        f"<nav><ul>{contents}</ul></nav>{operations}"
        f"<section><h2>Problem codes</h2><p>Any request may meet {every}.</p><table>"
        f"<tr><th>Status</th><th>Code</th><th>Meaning</th></tr>{codes}</table></section>"
    )
    return _html("Order Service API", body)


def _operation(operation: Operation, described: dict[str, Any]) -> str:
    parts = [
        f'<section id="{operation.name}"><h2>{escape(operation.summary)}</h2>',
        f'<p><span class="method">{operation.method}</span> <code>{operation.path}</code></p>',
    ]
    if operation.description:
        parts.append(f"<p>{escape(operation.description)}</p>")
    if operation.scopes:
        parts.append(f"<p>For the scopes {', '.join(sorted(operation.scopes))}.</p>")
    if "requestBody" in described:
        for example in described["requestBody"]["content"]["application/json"]["examples"].values():
            parts.append(f"<pre>{escape(json.dumps(example['value'], indent=2))}</pre>")
    rows = "".join(f"<tr><td>{status}</td><td>{escape(told)}</td></tr>" for status, told in operation.success.items())
    rows += "".join(
        f"<tr><td>{CATALOGUE[code].status}</td><td>{_code(code)}</td></tr>"
        for code in dict.fromkeys(operation.problems)
    )
    parts.append(f"<table><tr><th>Status</th><th>Answer</th></tr>{rows}</table></section>")
    return "".join(parts)


def _code(code: str) -> str:
    return f'<a href="/docs/errors/{code}"><code>{code}</code></a>'
