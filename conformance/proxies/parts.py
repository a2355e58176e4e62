"""What the checks are made of: `everwire serve`, nginx and HAProxy, each a process of its own on a free port."""

import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EVERWIRE = os.environ.get("EVERWIRE", str(ROOT / "target/release/everwire"))
DOCUMENT = ROOT / "docs/behind-a-proxy.md"
HOST = "127.0.0.1"


def sample(name):
    """Returns the configuration in the document behind `<!-- sample: NAME -->`."""
    found = re.findall(rf"<!-- sample: {re.escape(name)} -->\n+```\w*\n(.*?)```", DOCUMENT.read_text(), re.S)
    assert len(found) == 1, f"{DOCUMENT.name} has {len(found)} samples called {name}"
    return found[0]


def change(config, **changes):
    """Replaces words of a sample, each given as a pair; they must be there."""
    for old, new in changes.values():
        assert old in config, f"the sample has no {old!r}:\n{config}"
        config = config.replace(old, new)
    return config


def until(what, ready, seconds=10):
    """Waits until `ready` returns something true, and returns it."""
    deadline = time.monotonic() + seconds
    while not (result := ready()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.02)
    return result


def free_port():
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def is_open(address):
    try:
        socket.create_connection(address, timeout=1).close()
        return True
    except OSError:
        return False


class Process:
    """A process that is ended with the block that it was started in."""

    ends_by = signal.SIGTERM

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="everwire-proxies-")
        self.path = Path(self.folder.name)
        self.log = self.path / "log"

    def spawn(self, *command):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def log_text(self):
        return self.log.read_text(errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(self.ends_by)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.folder.cleanup()


class Serve(Process):
    """`everwire serve` with these options."""

    def __init__(self, *options):
        super().__init__()
        ports = ("--listen", f"{HOST}:0", "--admin", f"{HOST}:0", "--log", "info")
        self.spawn(EVERWIRE, "serve", *ports, *options)
        found = until("everwire serve says where it is", self._addresses)
        self.address, self.admin = [(HOST, int(port)) for port in found]

    def _addresses(self):
        assert self.process.poll() is None, f"everwire serve ended:\n{self.log_text()}"
        found = re.findall(r"http://127\.0\.0\.1:(\d+)", self.log_text())
        return found if len(found) == 2 else None

    def _get(self, path):
        with urllib.request.urlopen(f"http://{HOST}:{self.admin[1]}{path}", timeout=10) as answer:
            return answer.read().decode()

    def connections(self):
        return json.loads(self._get("/connections"))

    def client_ip(self):
        """Returns the address of the one client, as the server sees it."""
        [connection] = until("a connection is listed", self.connections)
        return connection["client_ip"]

    def causes(self):
        """Returns how many connections ended, by cause."""
        found = re.findall(r'connections_closed_total\{cause="(\w+)"\} (\d+)', self._get("/metrics"))
        return {cause: int(count) for cause, count in found if count != "0"}

    def closure(self):
        """Waits for a line of the log that says how a connection ended, and returns its closure."""
        found = until("a closure in the log", lambda: re.findall(r"closure=(.*)", self.log_text()))
        return found[-1]


class Proxy(Process):
    """A proxy that is started again on another port where somebody else was faster."""

    def __init__(self):
        super().__init__()
        for _ in range(5):
            self.address = (HOST, free_port())
            self.start()
            until(f"{type(self).__name__} listens or ends", lambda: self.process.poll() is not None or self.is_up())
            if self.process.poll() is None:
                return
        raise AssertionError(f"{type(self).__name__} does not start:\n{self.log_text()}")

    def is_up(self):
        return is_open(self.address)


class Nginx(Proxy):
    """nginx with the sample of the document in front of `backend`, and one worker."""

    MAIN = """
daemon off; worker_processes 1; pid {folder}/pid; error_log stderr; {main}
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""

    def __init__(self, backend, timeout=None, main="", **changes):
        self.backend, self.timeout, self.main, self.changes = backend, timeout, main, changes
        super().__init__()

    def start(self):
        site = change(
            sample("nginx"),
            port=("listen 80;", f"listen {HOST}:{self.address[1]};"),
            backend=("127.0.0.1:8080", f"{self.backend[0]}:{self.backend[1]}"),
            **self.changes)
        if self.timeout:
            site = change(site, timeout=("# proxy_read_timeout 60s;", f"proxy_read_timeout {self.timeout}s;"))
        (self.path / "site.conf").write_text(site)
        (self.path / "nginx.conf").write_text(self.MAIN.format(folder=self.path, main=self.main))
        self.spawn("nginx", "-p", str(self.path), "-c", str(self.path / "nginx.conf"))

    def worker(self):
        """Returns the process id of the worker that accepts."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return max(map(int, children), default=0)

    def reload(self):
        before = self.worker()
        self.process.send_signal(signal.SIGHUP)
        until("a new worker", lambda: self.worker() not in (0, before))
        title = Path(f"/proc/{before}/cmdline")
        until("the old one leaves the port", lambda: "shutting down" in title.read_text())


class Haproxy(Proxy):
    """HAProxy with a sample of the document in front of `backend`."""

    def __init__(self, backend, name="haproxy", timeout=None, **changes):
        self.backend, self.name, self.timeout, self.changes = backend, name, timeout, changes
        super().__init__()

    def start(self):
        config = change(
            sample(self.name),
            port=("bind :80", f"bind {HOST}:{self.address[1]}"),
            backend=("127.0.0.1:8080", f"{self.backend[0]}:{self.backend[1]}"),
            **self.changes)
        if self.timeout:
            config = change(config, client=("timeout client  50s", f"timeout client  {self.timeout}s"),
                            server=("timeout server  50s", f"timeout server  {self.timeout}s"))
        (self.path / "haproxy.cfg").write_text(config)
        self.spawn("haproxy", "-db", "-f", str(self.path / "haproxy.cfg"))
