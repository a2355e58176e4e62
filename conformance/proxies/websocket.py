"""A WebSocket client of a few lines, so that nothing but the proxies and the server is judged."""

import base64
import os
import socket
import struct

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class Refused(Exception):
    """The opening handshake was answered with another status than 101, or with the end of the connection (None)."""

    def __init__(self, status):
        super().__init__(f"refused with {status}")
        self.status = status


class Client:
    """One connection. Every wait has a deadline of `timeout` seconds."""

    def __init__(self, address, path="/echo", source="127.0.0.1", headers=(), preface=b"", timeout=10):
        self.socket = socket.create_connection(address, timeout=timeout, source_address=(source, 0))
        self.buffer = b""
        key = base64.b64encode(os.urandom(16)).decode()
        host = f"{address[0]}:{address[1]}"
        head = [f"GET {path} HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade",
                f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", *headers, "", ""]
        self.socket.sendall(preface + "\r\n".join(head).encode())
        while b"\r\n\r\n" not in self.buffer:
            try:
                more = self.socket.recv(4096)
            except ConnectionResetError:
                more = b""
            if not more:
                self.socket.close()
                raise Refused(None)
            self.buffer += more
        self.head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        status = int(self.head.split()[1])
        if status != 101:
            self.socket.close()
            raise Refused(status)

    def send(self, opcode, payload=b""):
        mask = os.urandom(4)
        length = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, len(payload))
        if len(payload) < 126:
            length = bytes([0x80 | opcode, 0x80 | len(payload)])
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        self.socket.sendall(length + mask + masked)

    def receive(self):
        """Returns the opcode and payload of the next frame; None at the end of the stream."""
        head = self._take(2)
        if head is None:
            return None
        length = head[1]
        if length == 126:
            length = struct.unpack("!H", self._take(2))[0]
        return head[0] & 15, self._take(length) if length else b""

    def receive_text(self):
        """Answers pings until a text comes, and returns it; None at the end of the stream."""
        while True:
            frame = self.receive()
            if frame is None or frame[0] == CLOSE:
                return None
            if frame[0] == PING:
                self.send(PONG, frame[1])
            if frame[0] == TEXT:
                return frame[1].decode()

    def echo(self, text):
        self.send(TEXT, text.encode())
        got = self.receive_text()
        assert got == text, f"sent {text!r}, received {got!r}"

    def close(self):
        """Does the closing handshake with 1000, and returns the code of the answer."""
        self.send(CLOSE, struct.pack("!H", 1000))
        while (frame := self.receive()) is not None:
            if frame[0] == CLOSE:
                self.socket.close()
                return struct.unpack("!H", frame[1][:2])[0]
        raise AssertionError("no Close came back")

    def _take(self, n):
        while len(self.buffer) < n:
            more = self.socket.recv(65536)
            if not more:
                return None
            self.buffer += more
        taken, self.buffer = self.buffer[:n], self.buffer[n:]
        return taken

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
