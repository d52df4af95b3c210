"""Two plots of a run, as SVG: CPU of an order by part, and the rate over the number of clients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from order_service.bench.plan import Line, Report

_COLOURS = ("#2b6cb0", "#2f855a", "#b7791f", "#9b2c2c", "#6b46c1", "#4a5568", "#0987a0", "#b83280", "#744210")
_WIDTH = 760


def write_charts(report: Report, folder: Path, name: str) -> None:
    """Write ``NAME-cpu.svg`` and ``NAME-rate.svg``."""
    (folder / f"{name}-cpu.svg").write_text(cpu_chart(report.lines))
    (folder / f"{name}-rate.svg").write_text(rate_chart(report.lines))


def cpu_chart(lines: Sequence[Line]) -> str:
    """Stacked bars: microseconds of the service, PostgreSQL and the broker for each workload."""
    most = max(line.service_us + line.postgres_us + line.broker_us for line in lines) or 1.0
    left, row, scale = 260, 22, 420 / most
    parts = [_text(10, 18, "CPU microseconds for one order or read")]
    for place, name in enumerate(("service", "PostgreSQL", "broker")):
        parts += [_box(330 + 130 * place, 8, 12, 12, _COLOURS[place]), _text(348 + 130 * place, 18, name)]
    for number, line in enumerate(lines):
        y = 40 + row * number
        parts.append(_text(left - 8, y + 12, f"{line.workload} · {line.clients}", anchor="end"))
        x = float(left)
        for place, us in enumerate((line.service_us, line.postgres_us, line.broker_us)):
            parts.append(_box(x, y, us * scale, 16, _COLOURS[place]))
            x += us * scale
        parts.append(_text(x + 6, y + 12, f"{line.service_us + line.postgres_us + line.broker_us:,.0f}"))
    return _svg(50 + row * len(lines), parts)


def rate_chart(lines: Sequence[Line]) -> str:
    """Orders or reads a second over the number of clients, both on logarithmic scales."""
    most_clients = max(max(line.clients for line in lines), 2)
    bottom = 10.0
    top = max(10 ** math.ceil(math.log10(max(line.per_s for line in lines))), 10 * bottom)
    height, left, right = 380, 70, 230

    def at(line: Line) -> tuple[float, float]:
        x = left + (_WIDTH - left - right) * math.log(line.clients) / math.log(most_clients)
        y = 30 + (height - 60) * (1 - math.log(max(line.per_s, bottom) / bottom) / math.log(top / bottom))
        return x, y

    parts = [_text(10, 18, "a second, over the number of clients")]
    for power in range(1, round(math.log10(top)) + 1):
        y = 30 + (height - 60) * (1 - math.log(10**power / bottom) / math.log(top / bottom))
        parts += [_rule(left, y, _WIDTH - right), _text(left - 8, y + 4, f"{10**power:,}", anchor="end")]
    for clients in sorted({line.clients for line in lines}):
        x = left + (_WIDTH - left - right) * math.log(clients) / math.log(most_clients)
        parts.append(_text(x, height - 12, str(clients), anchor="middle"))
    for number, name in enumerate(dict.fromkeys(line.workload for line in lines)):
        colour = _COLOURS[number % len(_COLOURS)]
        points = [at(line) for line in lines if line.workload == name]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
        y = 40 + 20 * number
        parts += [_box(_WIDTH - right + 20, y - 10, 12, 12, colour), _text(_WIDTH - right + 38, y, name)]
    return _svg(height, parts)


def _svg(height: float, parts: Sequence[str]) -> str:
    style = 'font-family="sans-serif" font-size="12"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" {style}>'
    return "\n".join([head, f'<rect width="{_WIDTH}" height="{height}" fill="white"/>', *parts, "</svg>", ""])


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _box(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'


def _rule(left: float, y: float, right: float) -> str:
    return f'<line x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#ddd"/>'
