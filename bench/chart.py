#!/usr/bin/env python3
"""Draws the figures of bench/run as bars, one SVG for each scenario.

    chart.py RESULTS.json DIR
"""

import json
import sys
from html import escape
from pathlib import Path

OURS = {"everwire", "pull_echo"}
LIMITS = {"raw", "raw-epoll", "raw-fan-out", "raw, A"}

WIDTH, LEFT, RIGHT = 760, 160, 130
TOP, ROW, BAR, BOTTOM = 58, 26, 18, 30

# Readable on white and on black, because GitHub shows a picture on either.
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 15px }
.quiet { fill: #6e7781; font-size: 11px }
.ours { fill: #0969da } .theirs { fill: #afb8c1 } .limit { fill: #d4a72c }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .quiet { fill: #8d96a0 }
  .ours { fill: #4493f8 } .theirs { fill: #57606a } .limit { fill: #bb8009 }
}
"""


def draw(results: Path, directory: Path) -> None:
    """Writes a chart for each scenario that has something to be drawn."""
    directory.mkdir(exist_ok=True)
    for name, scenario in json.loads(results.read_text()).items():
        if picture := of_scenario(name, scenario):
            (directory / f"{name}.svg").write_text(picture)


def of_scenario(name: str, scenario: dict) -> str | None:
    """Returns the chart of CPU time, or of idle memory; None if neither was measured."""
    for key, what, unit in [("cpu_ns", "server CPU time", time), ("idle", "memory per idle connection", size)]:
        bars = [(server, figures[key]) for server, figures in scenario["servers"].items()
                if figures.get(key) is not None]
        if bars:
            bars.sort(key=lambda bar: bar[1])
            return svg(f"{name}: {scenario['title']}", f"{what}; less is better", scenario["caption"], bars, unit)
    return None


def svg(title: str, subtitle: str, caption: str, bars: list[tuple[str, float]], unit) -> str:
    height = TOP + ROW * len(bars) + BOTTOM
    longest = max(value for _, value in bars) or 1
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(f"{title}; {subtitle}")}">',
        f"<style>{STYLE}</style>",
        f'<text class="title" x="0" y="18">{escape(title)}</text>',
        f'<text class="quiet" x="0" y="38">{escape(subtitle)}</text>',
    ]
    for idx, (server, value) in enumerate(bars):
        y = TOP + ROW * idx
        kind = "ours" if server in OURS else "limit" if server in LIMITS else "theirs"
        length = max(1, (WIDTH - LEFT - RIGHT) * value / longest)
        lines += [
            f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(server)}</text>',
            f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2"/>',
            f'<text x="{LEFT + length + 6:.1f}" y="{y + 14}">{escape(unit(value))}</text>',
        ]
    lines += [f'<text class="quiet" x="0" y="{height - 8}">{escape(caption)}</text>', "</svg>"]
    return "\n".join(lines) + "\n"


def time(nanoseconds: float) -> str:
    for unit, scale in [("ms", 1e6), ("µs", 1e3)]:
        if nanoseconds >= scale:
            return f"{nanoseconds / scale:.{0 if nanoseconds >= 100 * scale else 1}f} {unit}"
    return f"{nanoseconds:.0f} ns"


def size(octets: float) -> str:
    return f"{octets / 1024:.1f} KiB" if octets >= 10_240 else f"{octets:.0f} B"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip())
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
