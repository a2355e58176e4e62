"""What sessions cost the whole server: `run` calls this."""

import json
import os
import re
import statistics
import subprocess
from contextlib import contextmanager
from pathlib import Path

SERVE = ("serve", "--threads", "1", "--listen", "127.0.0.1:0", "--admin", "off")
SCENARIOS = {"A, 1 in flight × 16 B": ("1", "16"), "B, 16 in flight × 125 B": ("16", "125")}
MOST_CPU, MOST_BYTES = 1.25, 600


@contextmanager
def served(everwire: Path):
    """A server of its own on core 0; yields its address and its process."""
    with subprocess.Popen([everwire, *SERVE], stdout=subprocess.PIPE, text=True, preexec_fn=on_core(0)) as server:
        try:
            # Its first line names the URL of the page.
            yield re.search(r"http://([^/\s]+)", server.stdout.readline())[1], server.pid
        finally:
            server.kill()


def on_core(core: int):
    """What a child does first: takes a core, and all of it where that is permitted."""

    def take() -> None:
        os.sched_setaffinity(0, {core % os.cpu_count()})
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
        except PermissionError:
            pass

    return take


def echo(everwire: Path, rounds: int) -> tuple[str, int]:
    """The server's CPU time for a message that is echoed, without and with sessions, turn by turn."""
    lines = ["| 64 connections | without | through sessions | times the CPU |", "|---|--:|--:|--:|"]
    worst = 0.0
    with served(everwire) as (address, pid):
        for name, (depth, size) in SCENARIOS.items():
            took = {"plain": [], "session": []}
            for _ in range(rounds):
                for way, flags in (("plain", ()), ("session", ("--session",))):
                    command = [everwire, "bench", "echo", "-c", "64", "--depth", depth, "-s", size, "-d", "1s", *flags]
                    command += ["--allow-late", "--json", "--pid", str(pid), f"ws://{address}/echo"]
                    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True,
                                          preexec_fn=on_core(1))
                    took[way].append(json.loads(done.stdout)["metrics"]["cpu"] * 1e9)
            ratio = min(took["session"]) / min(took["plain"])
            worst = max(worst, ratio)
            cells = [f"{min(all_):.0f} ns ({statistics.median(all_):.0f})" for all_ in took.values()]
            lines.append(f"| {name} | {' | '.join(cells)} | {ratio:.2f} |")
    return "\n".join(lines), int(worst > MOST_CPU)


def idle(everwire: Path, load: Path) -> tuple[str, int]:
    """The server's resident memory for a connection that is open, without and with a session."""
    took = []
    for flags in ((), ("--session",)):
        with served(everwire) as (address, pid):
            command = [load, f"--url=ws://{address}/echo", *flags, "--idle=5000", "--warm=1000", f"--pid={pid}"]
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True)
            took.append(json.loads(done.stdout.splitlines()[0])["rss_per_connection"])
    lines = ["| connections | without | with a session | the session |", "|--:|--:|--:|--:|"]
    lines.append(f"| 1000 to 6000 | {took[0]:.0f} B | {took[1]:.0f} B | {took[1] - took[0]:.0f} B |")
    return "\n".join(lines), int(took[1] - took[0] > MOST_BYTES)
