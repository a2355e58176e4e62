#!/usr/bin/env python3
"""Opens connections and tells what memory each costs the server: what `load --idle` does, over TLS or with compression.

    hold.py URL --pid P --warm W --connections N [--first S,S] [--offer EXTENSION]

URL is ws:// or wss://. Each connection exchanges one message of each size, one after the other, and then idles; with an
offer, messages go compressed, and every answer must be. Prints one line of JSON. A blocking client in Python is slow, but
what it does is exact, and only the server's memory is looked at.
"""

import argparse
import functools
import json
import select
import socket
import ssl
import sys
import time
import zlib
from pathlib import Path
from urllib.parse import urlsplit

PATIENCE = 60
# Memory counts once two readings this far apart are equal.
SETTLE_SECONDS, SETTLE_TRIES = 0.6, 8
# A server that asks whether a connection lives waits for seconds.
TEND_SECONDS = 0.5
TAIL = b"\x00\x00\xff\xff"
FIN, RSV1, MASKED = 0x80, 0x40, 0x80
TEXT, PING, PONG = 0x1, 0x9, 0xA
# Any masking key is allowed; this one leaves the payload as it is.
KEY = bytes(4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--warm", type=int, required=True, help="connections of the first reading")
    parser.add_argument("--connections", type=int, required=True, help="so many more for the second")
    parser.add_argument("--first", default="", help="sizes of the messages that each exchanges")
    parser.add_argument("--offer", help="what is asked for in Sec-WebSocket-Extensions")
    options = parser.parse_args()
    sizes = [int(size) for size in options.first.split(",") if size]
    held = Crowd()

    def open_and_exchange(count: int) -> int:
        fresh = [held.open(options.url, options.offer) for _ in range(count)]
        for size in sizes:
            message = text(size)
            for connection in fresh:
                connection.exchange(message)
                held.tend()
        for connection in fresh:
            connection.forget()
        return settled_rss(options.pid)

    before = open_and_exchange(options.warm)
    after = open_and_exchange(options.connections)
    print(json.dumps({"rss_before": before, "rss_after": after,
                      "rss_per_connection": (after - before) / options.connections}), flush=True)
    held.close()


class Crowd:
    """All connections. While one is busy, others may be asked whether they live."""

    def __init__(self):
        self.connections = {}
        self.readable = select.epoll()
        self.tended = time.monotonic()

    def open(self, url: str, offer: str | None) -> "Held":
        connection = Held(url, offer)
        self.connections[connection.socket.fileno()] = connection
        self.readable.register(connection.socket.fileno(), select.EPOLLIN)
        self.tend()
        return connection

    def tend(self) -> None:
        """Answers pings, now and then."""
        if time.monotonic() - self.tended > TEND_SECONDS:
            self.tended = time.monotonic()
            for descriptor, _ in self.readable.poll(0):
                self.connections[descriptor].pong()

    def close(self) -> None:
        for connection in self.connections.values():
            connection.socket.close()


class Held:
    """One connection."""

    def __init__(self, url: str, offer: str | None):
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if parts.scheme == "wss":
            self.socket = TLS.wrap_socket(self.socket, server_hostname=parts.hostname)
        self.is_compressed = offer is not None
        self.inflater = zlib.decompressobj(wbits=-15) if offer else None
        extensions = f"Sec-WebSocket-Extensions: {offer}\r\n" if offer else ""
        self.socket.sendall(
            f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{extensions}\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._read(1)
        if b" 101 " not in head or self.is_compressed != (b"permessage-deflate" in head):
            sys.exit(f"hold: the server answered {head.decode(errors='replace')}")
        self.window_bits = client_window_bits(head)

    def exchange(self, message: bytes) -> None:
        """Sends a message and reads it back."""
        payload = deflated(message, self.window_bits) if self.is_compressed else message
        self._send(FIN | TEXT | (RSV1 if self.is_compressed else 0), payload)
        first, answer = self._frame()
        while first == FIN | PING:
            self._send(FIN | PONG, answer)
            first, answer = self._frame()
        if self.is_compressed and first & RSV1:
            answer = self.inflater.decompress(answer + TAIL)
        elif self.is_compressed:
            sys.exit("hold: an answer was not compressed")
        if answer != message:
            sys.exit("hold: an answer is not what was sent")

    def pong(self) -> None:
        """Answers the ping that has come."""
        first, payload = self._frame()
        if first != FIN | PING:
            sys.exit(f"hold: a connection that is idle received a frame that begins with {first:#x}")
        self._send(FIN | PONG, payload)

    def forget(self) -> None:
        """Lets go of what only exchanging needs."""
        self.inflater = None

    def _send(self, first: int, payload: bytes) -> None:
        self.socket.sendall(bytes([first]) + length(len(payload)) + KEY + payload)

    def _frame(self) -> tuple[int, bytes]:
        first, n = self._read(2)
        if n == 126:
            n = int.from_bytes(self._read(2))
        elif n == 127:
            n = int.from_bytes(self._read(8))
        return first, self._read(n)

    def _read(self, n: int) -> bytes:
        data = bytearray(n)
        view = memoryview(data)
        while view:
            got = self.socket.recv_into(view)
            if not got:
                sys.exit("hold: the server closed a connection")
            view = view[got:]
        return bytes(data)


@functools.cache
def deflated(message: bytes, window_bits: int) -> bytes:
    """Returns a message that refers to none before it, which every server must take."""
    deflater = zlib.compressobj(wbits=-window_bits)
    return (deflater.compress(message) + deflater.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)


def client_window_bits(head: bytes) -> int:
    """Returns the window that the server lets us have; zlib knows none of 8 bits."""
    _, found, rest = head.partition(b"client_max_window_bits=")
    return max(9, int(rest.split(b";")[0].split(b",")[0].split(b"\r")[0].strip(b' "'))) if found else 15


def length(n: int) -> bytes:
    if n < 126:
        return bytes([MASKED | n])
    return bytes([MASKED | 126]) + n.to_bytes(2) if n < 1 << 16 else bytes([MASKED | 127]) + n.to_bytes(8)


def text(size: int) -> bytes:
    """Returns text like JSON, no two parts of which are alike."""
    rows = (f'{{"id":{i},"value":{i * 2654435761 % 99991},"name":"row {i ^ 0x5a5a}"}},' for i in range(size // 24 + 1))
    return "".join(rows).encode()[:size]


def settled_rss(pid: int) -> int:
    last = rss(pid)
    for _ in range(SETTLE_TRIES):
        time.sleep(SETTLE_SECONDS)
        last, before = rss(pid), last
        if last == before:
            break
    return last


def rss(pid: int) -> int:
    """Returns the resident set; `smaps_rollup` is exact where `statm` is off by some pages."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    sys.exit("hold: smaps_rollup has no Rss")


# Who answers is known, and the certificate was made for this run.
TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
TLS.check_hostname = False
TLS.verify_mode = ssl.CERT_NONE

if __name__ == "__main__":
    main()
