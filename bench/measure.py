"""Builds and starts the servers, runs the load generator against them, and counts.

Three kinds of figures, from the least to the most repeatable: server CPU time, resident memory, and the counts
(system calls, user-space instructions). A count is the difference between two runs with an exact number of messages,
so that starting, connecting and stopping cancel.
"""

import contextlib
import json
import os
import queue
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

BENCH = Path(__file__).resolve().parent
PRODUCT = BENCH.parent

SERVER_CORE, LOAD_CORE = 0, 1
START_SECONDS = 60
STOP_SECONDS = 30

# Instructions that the longer of two counted runs may add. Only tokio-tungstenite's A and D2 come near it.
CALLGRIND_BUDGET = 600_000_000


@dataclass(frozen=True)
class Scenario:
    """A workload of echoes, or of one who speaks to all; and how many messages the two counted runs have."""

    title: str
    connections: int
    depth: int
    size: int
    kind: str
    base: int
    more: int
    # The first connection speaks to all on /chat; a message is one that somebody received.
    fan_out: bool = False
    # So many connections at a time, if not all.
    at_a_time: int | None = None

    @property
    def batch(self) -> int:
        return (self.at_a_time or self.connections) * self.depth

    def flags(self) -> list[str]:
        flags = [f"--connections={self.connections}", f"--depth={self.depth}", f"--size={self.size}",
                 f"--kind={self.kind}"]
        if self.at_a_time:
            flags.append(f"--at-a-time={self.at_a_time}")
        return [*flags, "--fan-out"] if self.fan_out else flags

    def url(self, echo: str) -> str:
        """Returns the URL of the workload on the server whose /echo this is."""
        return echo.removesuffix("/echo") + "/chat" if self.fan_out else echo


SCENARIOS = {
    "A": Scenario("64 connections × 1 in flight × 16 B", 64, 1, 16, "binary", 640, 12_800),
    "B": Scenario("64 connections × 16 in flight × 125 B", 64, 16, 125, "binary", 2_048, 51_200),
    "C": Scenario("16 connections × 1 in flight × 64 KiB, binary", 16, 1, 64 << 10, "binary", 64, 640),
    "D1": Scenario("4 connections × 1 in flight × 1 MiB, binary", 4, 1, 1 << 20, "binary", 8, 24),
    "D2": Scenario("4 connections × 1 in flight × 1 MiB, multi-byte text", 4, 1, 1 << 20, "text", 8, 24),
    # Few connections, so that 64 messages of each come within 200 ms below valgrind and strace as well: then an end
    # acknowledges as often as it does at full speed.
    "SA": Scenario("8 connections × 1 in flight × 16 B", 8, 1, 16, "binary", 640, 12_800),
    "SB": Scenario("8 connections × 16 in flight × 125 B", 8, 16, 125, "binary", 2_048, 51_200),
    "E": Scenario("1 → 1,000 connections × 64 B, 4 messages in flight", 1_000, 4, 64, "binary", 20_000, 160_000,
                  fan_out=True),
}

def echoes_among(connections: int) -> Scenario:
    """Returns A with more connections, of which 64 speak at a time: the same rate, and as many in each wake-up."""
    return Scenario(f"{connections:,} connections", connections, 1, 16, "binary", 640, 32_000, at_a_time=64)


def broadcast_to(connections: int) -> Scenario:
    """Returns E with so many who receive."""
    batch = connections * 4
    more = max(1, 160_000 // batch) * batch
    return Scenario(f"to {connections:,}", connections, 4, 64, "binary", batch, more, fan_out=True)


# How costs grow with the number of connections.
GROWTH_TITLE = "16 B on so many connections, 64 at a time; 64 B to so many receivers"
GROWTH_SERVERS = ("raw", "raw-fan-out", "everwire")
GROWTH = {f"echo-{n}": echoes_among(n) for n in (64, 1_000, 15_000)} | {
    f"broadcast-{n}": broadcast_to(n) for n in (100, 1_000, 15_000)}

DEFLATE_TITLES = {
    "G1": "64 connections × 1 in flight × 1 KiB of text, compressed without context",
    "G2": "64 connections × 1 in flight × 1 KiB of text, compressed with context",
}
DEFLATE_MODES = {"G1": "shared", "G2": "dedicated"}

CONNECT_TITLE = "connect, upgrade, close: 32 connections at a time"
CONNECTIONS_AT_A_TIME = 32

MEMORY_TITLES = {"F": "memory per open connection", "F2": "memory per open connection, over TLS and with compression"}
# What each connection exchanges before it idles.
MEMORY_STAGES = {"idle": [], "after 1 KiB": [1024], "after 900 kB": [1024, 900_000]}
# Connections that are in both memory readings, and those that make the difference.
MEMORY_WARM, MEMORY_CONNECTIONS = 1_000, 5_000
# The same for hold.py, which is slow.
HOLD_WARM, HOLD_CONNECTIONS = 500, 2_000
# A server that keeps its largest buffer would need gigabytes for the last stage; it shows itself in a small run first.
MEMORY_SMALL = (100, 200)
MEMORY_KEEPS_BUFFERS = 64 * 1024


# Made for the measurement, by openssl.
TLS_CERTIFICATE, TLS_KEY = (BENCH / "target" / "tls" / name for name in ("certificate.pem", "key.pem"))


@dataclass(frozen=True)
class Hold:
    """How hold.py opens connections whose memory is measured: over TLS, or with an offer to compress."""

    scheme: str = "ws"
    offer: str | None = None


@dataclass(frozen=True)
class Server:
    """A program that prints its URL and echoes on /echo; it may speak to all on /chat instead, or as well."""

    name: str
    program: str
    args: tuple[str, ...] = ()
    load_flags: tuple[str, ...] = ()
    is_ours: bool = False
    # Made by foreign/install, as far as it can be had.
    is_foreign: bool = False
    # It runs code that is made while it runs, or collects garbage. callgrind does not count that in any sensible time, and
    # threads that wait for each other by spinning must not be scheduled first come, first served on one core.
    is_managed: bool = False
    # What it is told so that it compresses, by mode.
    deflate: dict[str, tuple[str, ...]] = field(default_factory=dict)
    has_echo: bool = True
    has_chat: bool = False
    # Takes part in F2 alone, in which hold.py takes the place of the load generator.
    hold: Hold | None = None


EVERWIRE = ("serve", "--threads", "1", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")


def held(name: str, hold: Hold, *args: str) -> Server:
    return Server(name, "everwire", (*EVERWIRE, *args), is_ours=True, has_echo=False, hold=hold)


# With and without what lets a server choose how much of a client's messages it has to keep.
OFFER = "permessage-deflate"
OFFER_OF_BITS = f"{OFFER}; client_max_window_bits"

BOTH_MODES = {"shared": ("shared",), "dedicated": ("dedicated",)}

SERVERS = {
    server.name: server
    for server in [
        Server("raw", "peer-raw", load_flags=("--raw",)),
        Server("raw-epoll", "peer-raw-epoll", load_flags=("--raw",)),
        Server("raw-fan-out", "peer-raw-fan-out", load_flags=("--raw",), has_echo=False, has_chat=True),
        Server("everwire", "everwire", EVERWIRE, is_ours=True, has_chat=True,
               deflate={mode: ("--deflate", mode) for mode in ("shared", "dedicated")}),
        held("everwire-tls", Hold("wss"), "--tls-cert", str(TLS_CERTIFICATE), "--tls-key", str(TLS_KEY)),
        held("everwire-shared", Hold(offer=OFFER_OF_BITS), "--deflate", "shared"),
        held("everwire-dedicated", Hold(offer=OFFER_OF_BITS), "--deflate", "dedicated"),
        held("everwire-dedicated-32k", Hold(offer=OFFER), "--deflate", "dedicated"),
        Server("pull_echo", "examples/pull_echo", is_ours=True),
        # The same server, and the load through sessions.
        Server("sessions", "everwire", ("serve", "--threads", "1", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"),
               load_flags=("--session",), is_ours=True),
        Server("fastwebsockets", "peer-fastwebsockets"),
        Server("tokio-websockets", "peer-tokio-websockets"),
        Server("tokio-tungstenite", "peer-tokio-tungstenite"),
        Server("yawc", "peer-yawc", deflate=BOTH_MODES),
        Server("soketto", "peer-soketto"),
        Server("uwebsockets", "uwebsockets", is_foreign=True, deflate=BOTH_MODES),
        Server("gorilla", "gorilla", is_foreign=True, is_managed=True, deflate={"shared": ("shared",)}),
        Server("ws", "ws", is_foreign=True, is_managed=True, deflate=BOTH_MODES),
        Server("websockets", "websockets", is_foreign=True, is_managed=True, deflate=BOTH_MODES),
    ]
}


class Failed(Exception):
    """A server or a tool that did not do its part."""


@dataclass
class Bench:
    """The built programs, and the ways to measure them."""

    programs: Path
    our_programs: Path
    foreign_programs: Path
    fifo: bool = False

    @classmethod
    def build(cls, target_cpu: str, our_programs: Path | None, names: list[str], skip: bool) -> "Bench":
        """Builds the load generator, the peers and, unless `our_programs` has them, the product. All alike."""
        target = BENCH / "target" / target_cpu
        programs = target / "release"
        if not skip:
            cargo(target_cpu, target, BENCH, "--workspace")
            # It is also the load of G and H.
            if our_programs is None:
                cargo(target_cpu, target, PRODUCT, "--workspace", "--bin", "everwire")
            if our_programs is None and "pull_echo" in names:
                cargo(target_cpu, target, PRODUCT, "--workspace", "--example", "pull_echo")
        if any((hold := SERVERS[name].hold) and hold.scheme == "wss" for name in names):
            make_certificate()
        foreign = BENCH / "target" / "foreign"
        for name in names:
            if SERVERS[name].is_foreign and not skip and is_stale(foreign / name, BENCH / "foreign"):
                # What cannot be had is named when it is missed.
                subprocess.run([BENCH / "foreign" / "install", foreign, name])
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < hard:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return cls(programs, our_programs or programs, foreign)

    def missing(self, server: Server) -> str | None:
        """Says why `server` cannot be measured, if so."""
        if not self._program(server).exists():
            return f"{server.name}: it could not be made" if server.is_foreign else f"{server.name}: not built"
        try:
            with self.started(server):
                return None
        except Failed as error:
            return f"{server.name}: {error}"

    def cpu(self, server: Server, url: str, pid: int, scenario: Scenario, seconds: float) -> float:
        """Returns the server's CPU nanoseconds per message in one timed run."""
        figures = self._load(server, scenario.url(url), *scenario.flags(), f"--seconds={seconds}", f"--pid={pid}")
        return figures["cpu_ns_per_message"]

    def connect_cpu(self, server: Server, url: str, pid: int, seconds: float) -> float:
        """Returns the server's CPU nanoseconds per connection that is opened and closed in one timed run."""
        return self._everwire_bench("connect", url, pid, seconds, f"--connections={CONNECTIONS_AT_A_TIME}")["cpu"] * 1e9

    def deflate_cpu(self, url: str, pid: int, mode: str, seconds: float) -> tuple[float, float]:
        """Returns the server's CPU nanoseconds per compressed message, and the bytes of an answer on the wire."""
        metrics = self._everwire_bench("echo", url, pid, seconds, "--connections=64", "--text", "--size=1KiB",
                                       f"--deflate={mode}")
        if metrics["deflated"] < metrics["opened"]:
            raise Failed("it did not agree to compress")
        return metrics["cpu"] * 1e9, metrics["wire.received"]

    def _everwire_bench(self, scenario: str, url: str, pid: int, seconds: float, *flags: str) -> dict:
        command = [*pinned(LOAD_CORE, self.fifo), str(self.our_programs / "everwire"), "bench", scenario, "--json",
                   "--allow-late", f"--duration={round(seconds * 1000)}ms", f"--pid={pid}", *flags, url]
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode != 0:
            raise Failed(run.stderr.strip())
        return json.loads(run.stdout)["metrics"]

    def syscalls(self, server: Server, scenario: Scenario) -> dict[str, float]:
        """Returns the server's system calls per message, by name, the most frequent first."""
        short = self._strace(server, scenario, scenario.base)
        long = self._strace(server, scenario, scenario.base + scenario.more)
        calls = {name: (n - short.get(name, 0)) / scenario.more for name, n in long.items()}
        return dict(sorted(calls.items(), key=lambda call: -call[1]))

    def instructions(self, server: Server, scenario: Scenario) -> float:
        """Returns the server's user-space instructions per message."""
        if server.is_managed:
            raise Failed("instructions are not counted of this one")
        short = self._callgrind(server, scenario, scenario.base)
        affordable = int(CALLGRIND_BUDGET / (short / scenario.base)) // scenario.batch * scenario.batch
        more = max(scenario.batch, min(scenario.more, affordable))
        return (self._callgrind(server, scenario, scenario.base + more) - short) / more

    def memory(self, server: Server, stage: str) -> float:
        """Returns the resident bytes that one more connection costs after it has done what `stage` says."""
        first = MEMORY_STAGES[stage]
        if server.hold:
            return self._memory(server, first, HOLD_WARM, HOLD_CONNECTIONS)
        if first and max(first) > MEMORY_KEEPS_BUFFERS:
            per_connection = self._memory(server, first, *MEMORY_SMALL)
            if per_connection > MEMORY_KEEPS_BUFFERS:
                return per_connection
        return self._memory(server, first, MEMORY_WARM, MEMORY_CONNECTIONS)

    @contextlib.contextmanager
    def started(self, server: Server, *wrapper: str):
        """Runs the server on its core, below `wrapper`, and yields its URL and process id; ends it with SIGTERM."""
        command = [*pinned(SERVER_CORE, self.fifo and not server.is_managed), *wrapper, str(self._program(server)), *server.args]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, errors="replace")
        pid = process.pid
        try:
            url = await_url(process)
            pid = traced_child(process.pid) if "strace" in wrapper else process.pid
            yield url, pid
        finally:
            stop(process, pid)

    def _program(self, server: Server) -> Path:
        if server.is_foreign:
            return self.foreign_programs / server.program
        return (self.our_programs if server.is_ours else self.programs) / server.program

    def _load_command(self, server: Server, url: str, *flags: str) -> list[str]:
        return [*pinned(LOAD_CORE, self.fifo), str(self.programs / "load"), f"--url={url}", *server.load_flags, *flags]

    def _load(self, server: Server, url: str, *flags: str) -> dict:
        run = subprocess.run(self._load_command(server, url, *flags), capture_output=True, text=True)
        if run.returncode != 0:
            raise Failed(run.stderr.strip())
        return json.loads(run.stdout)

    def _callgrind(self, server: Server, scenario: Scenario, n_messages: int) -> int:
        with tempfile.TemporaryDirectory() as directory:
            out = Path(directory) / "callgrind.out"
            wrapper = ["valgrind", "--tool=callgrind", "--quiet", "--instr-atstart=yes", f"--callgrind-out-file={out}",
                       f"--log-file={directory}/log"]
            with self.started(server, *wrapper) as (url, _):
                self._load(server, scenario.url(url), *scenario.flags(), f"--messages={n_messages}")
            totals = re.findall(r"^totals: (\d+)", out.read_text() if out.exists() else "", re.MULTILINE)
        if not totals:
            raise Failed("callgrind wrote no totals: the server did not end on SIGTERM")
        return sum(map(int, totals))

    def _strace(self, server: Server, scenario: Scenario, n_messages: int) -> dict[str, int]:
        with tempfile.TemporaryDirectory() as directory:
            out = Path(directory) / "strace.out"
            with self.started(server, "strace", "-c", "-f", "-U", "name,calls", "-o", str(out)) as (url, _):
                self._load(server, scenario.url(url), *scenario.flags(), f"--messages={n_messages}")
            calls = dict(re.findall(r"^\s*(\w+)\s+(\d+)\s*$", out.read_text(), re.MULTILINE))
        calls.pop("total", None)
        return {name: int(n) for name, n in calls.items()}

    def _memory(self, server: Server, first: list[int], warm: int, connections: int) -> float:
        flags = [f"--warm={warm}"]
        if first:
            flags.append("--first=" + ",".join(map(str, first)))
        with self.started(server) as (url, pid):
            flags.append(f"--pid={pid}")
            if hold := server.hold:
                flags += [f"--connections={connections}"] + ([f"--offer={hold.offer}"] if hold.offer else [])
                command = [*pinned(LOAD_CORE, False), BENCH / "hold.py", url.replace("ws:", f"{hold.scheme}:"), *flags]
            else:
                # Standard input is at its end, so the load generator closes as soon as it has read the memory.
                command = self._load_command(server, url, f"--idle={connections}", *flags)
            run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if run.returncode != 0:
            raise Failed(run.stderr.strip())
        return json.loads(run.stdout.splitlines()[0])["rss_per_connection"]


def cpu_rounds(bench: Bench, work: list[tuple[Server, Scenario | None]], rounds: int, measure):
    """Returns (best, median) of what `measure` says of each server, what it is to do, its URL and its process id.
    One that fails is told and left out.

    The servers run side by side and take turns, so that a slow spell of the machine hits all of them.
    """
    figures = {server.name: [] for server, _ in work}
    with contextlib.ExitStack() as stack:
        running = [(server, scenario, *stack.enter_context(bench.started(server))) for server, scenario in work]
        for _ in range(rounds):
            for server, scenario, url, pid in running:
                if server.name not in figures:
                    continue
                try:
                    figures[server.name].append(measure(server, scenario, url, pid))
                except Failed as error:
                    note(f"{server.name}: {error}")
                    del figures[server.name]
    return {name: (min(values), statistics.median(values)) for name, values in figures.items()}


def cargo(target_cpu: str, target: Path, workspace: Path, *flags: str) -> None:
    """Builds in release; a failure is told and left to the checks for missing programs."""
    command = ["cargo", "build", "--quiet", "--release", "--locked", "--target-dir", str(target), *flags]
    environment = os.environ | {"RUSTFLAGS": f"-C target-cpu={target_cpu}"}
    if subprocess.run(command, cwd=workspace, env=environment).returncode != 0:
        note("failed: " + " ".join(command[:5] + list(flags)))


def make_certificate() -> None:
    """Makes a certificate that is good for a measurement; a failure is told and left to whoever needs it."""
    TLS_KEY.parent.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-subj", "/CN=localhost", "-days", "30", "-keyout", TLS_KEY, "-out", TLS_CERTIFICATE],
                       check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        note(f"no certificate: {error}")


def pinned(core: int, fifo: bool) -> list[str]:
    """Returns the command prefix that keeps a program on one core."""
    prefix = ["chrt", "-f", "10"] if fifo else []
    return [*prefix, "taskset", "-c", str(core)] if (os.cpu_count() or 1) > max(SERVER_CORE, LOAD_CORE) else prefix


def fifo_is_permitted() -> bool:
    return shutil.which("chrt") is not None and subprocess.run(
        ["chrt", "-f", "10", "true"], capture_output=True).returncode == 0


def await_url(process: subprocess.Popen) -> str:
    """Returns the WebSocket URL of the first address the server prints, and goes on emptying the pipe."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    seen = ""
    try:
        while (line := lines.get(timeout=START_SECONDS)) is not None:
            seen = line.strip() or seen
            if found := re.search(r"https?://(127\.0\.0\.1:\d+)/", line):
                return f"ws://{found[1]}/echo"
    except queue.Empty:
        raise Failed("printed no address") from None
    raise Failed(f"ended without an address: {seen}")


def traced_child(pid: int) -> int:
    """Returns the process that strace started."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def stop(process: subprocess.Popen, pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        note(f"{process.args[-1]} did not end on SIGTERM and was killed")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        process.kill()
        process.wait()


def note(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


def is_stale(program: Path, sources: Path) -> bool:
    """Tells whether a program is missing, or older than what it may have been made from."""
    return not program.exists() or program.stat().st_mtime < max(file.stat().st_mtime for file in sources.iterdir())


def compressing(servers: list[Server], mode: str) -> list[Server]:
    """Returns those servers that can compress in this mode, told to do so."""
    return [replace(server, args=(*server.args, *server.deflate[mode])) for server in servers if mode in server.deflate]
