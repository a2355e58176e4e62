"""The figures that the project's README shows: what a message costs each library, as a multiple of the limit."""

import json
from pathlib import Path

from measure import SERVERS

# What stands in a row: the scenario, what it is, the limit it is compared with, and which figure counts.
ROWS = [
    ("A", "16 B, one in flight", "raw", "cpu_ns"),
    ("B", "125 B, 16 in flight", "raw", "cpu_ns"),
    ("C", "64 KiB", "raw", "cpu_ns"),
    ("D1", "1 MiB", "raw", "cpu_ns"),
    ("D2", "1 MiB of text", "raw", "cpu_ns"),
    ("G1", "1 KiB compressed, no context kept", None, "cpu_ns"),
    ("G2", "1 KiB compressed, context kept", None, "cpu_ns"),
    ("H", "connect, upgrade, close", None, "cpu_ns"),
    ("F", "memory when idle", None, "idle"),
]
OURS = {"everwire": "everwire", "pull_echo": "its pull face"}
OTHERS = [server.name for server in SERVERS.values() if not server.is_ours and "--raw" not in server.load_flags]
BEGIN, END = "<!-- speed -->\n", "<!-- end speed -->"


def write(results: Path, readme: Path) -> None:
    """Puts the table into the README, between its markers."""
    known = json.loads(results.read_text())
    before, _, rest = readme.read_text().partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"bench: {readme.name} has no markers for its table")
    readme.write_text(f"{before}{BEGIN}\n{table(known)}\n\n{about(known)}\n\n{END}{after}")


def table(known: dict) -> str:
    """Returns the table: multiples of the limit, or of everwire where there is none."""
    names = [*OURS, *OTHERS]
    lines = [["", *(OURS.get(name, name) for name in names)], ["---", *("--:" for _ in names)]]
    for scenario, title, limit, key in ROWS:
        servers = known.get(scenario, {}).get("servers", {})
        unit = servers.get(limit or "everwire", {}).get(key)
        cells = [ratio(servers.get(name, {}).get(key), unit) for name in names]
        lines.append([f"{title}{'' if limit else ' ¹'}", *cells])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def ratio(value: float | None, unit: float | None) -> str:
    if not value or not unit:
        return "–"
    return f"{value / unit:.2f}" if value < 10 * unit else f"{value / unit:.0f}"


def about(known: dict) -> str:
    machine = known["A"]["caption"].partition("CPU time: ")[2].partition(";")[0] or known["A"]["caption"]
    return f"*¹ of everwire's, the others of a plain TCP echo's on tokio. A: {machine.removesuffix('.')}.*"
