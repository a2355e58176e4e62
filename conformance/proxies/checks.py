"""What is checked; `CHECKS` at the end has the names."""

import re
import subprocess
import threading
import time
from pathlib import Path

from parts import EVERWIRE, Haproxy, Nginx, Serve, until
from websocket import CLOSE, PING, PONG, Client, Refused

# Where the clients come from, so that they are not taken for the proxy on 127.0.0.1.
CLIENT = "127.0.0.2"
TRUST = ("--trusted-proxy", "127.0.0.1/32")
SPOOF = "X-Forwarded-For: 203.0.113.7"


def expect(expected, got, what):
    assert got == expected, f"{what}: expected {expected!r}, got {got!r}"
    print(f"ok      {what}: {got}")


def ended(serve, expected):
    """Waits until as many connections ended as are expected, and compares their causes."""
    total = sum(expected.values())
    until(f"{total} ended connections", lambda: sum(serve.causes().values()) >= total)
    expect(expected, serve.causes(), "the causes")


def url(proxy):
    return f"ws://{proxy.address[0]}:{proxy.address[1]}/echo"


def refusal(*args, **kwargs):
    """Returns the status with which a connection is refused."""
    try:
        Client(*args, **kwargs).close()
    except Refused as refused:
        return refused.status
    raise AssertionError("it was let in")


def talks(proxy):
    """Messages and the closing handshake go through, and the origin policy sees the host that was asked for."""
    port = proxy.address[1]
    with Client(proxy.address, headers=[f"Origin: http://127.0.0.1:{port}"]) as client:
        client.echo("hello")
        client.echo("x" * 60_000)
        expect(1000, client.close(), "the closing handshake")
    expect(403, refusal(proxy.address, headers=["Origin: https://evil.example"]), "a page of another host")
    connect = [EVERWIRE, "connect", "-n1", url(proxy)]
    ours = subprocess.run(connect, input="hi\n", capture_output=True, text=True, timeout=20)
    expect((0, "hi\n"), (ours.returncode, ours.stdout), "everwire connect")


def believes(proxy, serve, expected):
    with Client(proxy.address, source=CLIENT) as client:
        client.echo("hello")
        expect(expected, serve.client_ip(), "the client's address")
        client.close()
    with Client(proxy.address, source=CLIENT, headers=[SPOOF]) as client:
        client.echo("hello")
        expect(expected, serve.client_ip(), "the client's address, with a header of its own")
        client.close()


def forwarded(make):
    with Serve(*TRUST) as serve:
        with make(serve.address) as proxy:
            believes(proxy, serve, CLIENT)
        with Client(serve.address, source=CLIENT, headers=[SPOOF]) as client:
            client.echo("hello")
            expect(CLIENT, serve.client_ip(), "the address of one who came past the proxy, with a header of its own")
    with Serve() as serve, make(serve.address) as proxy:
        believes(proxy, serve, "127.0.0.1")


def silence(proxy, serve, seconds, cause, closure):
    """Waits in silence until the proxy cuts, and looks at what all three see."""
    # A client of our own beside the foreign one, to see what it makes of it.
    ours = subprocess.Popen([EVERWIRE, "connect", "--keepalive", "off", url(proxy)], stdin=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)
    with Client(proxy.address, timeout=seconds * 3 + 10) as client:
        client.echo("hello")
        start = time.monotonic()
        expect(None, client.receive(), "what a client is sent before the end of the stream")
        took = time.monotonic() - start
    assert seconds - 1 <= took <= seconds + 10, f"cut after {took:.1f} s instead of {seconds} s"
    print(f"ok      cut after {took:.1f} s")
    expect(closure, serve.closure(), "the server's closure")
    ours.wait(seconds + 20)  # Before its stdin is closed, which would end it.
    said = ours.communicate()[1]
    assert "the peer ended the stream without a Close" in said, said
    expect(4, ours.returncode, "the status of everwire connect")
    ended(serve, {cause: 2})


def idle(make, cause, closure, seconds=2):
    """Keepalive is off: a connection that says nothing is cut by the proxy."""
    with Serve("--keepalive", "off") as serve, make(serve.address, timeout=seconds) as proxy:
        silence(proxy, serve, seconds, cause, closure)


def alive(make, seconds=3):
    """A keepalive below the proxy's limit keeps a connection that says nothing."""
    with Serve("--keepalive", "1s/1s") as serve, make(serve.address, timeout=seconds) as proxy:
        with Client(proxy.address) as client:
            start = time.monotonic()
            while time.monotonic() - start < 2.5 * seconds:
                opcode, payload = client.receive()
                expect(PING, opcode, "the frame in the silence")
                client.send(PONG, payload)
            client.echo("still there")
            expect({}, serve.causes(), f"what ended in {2.5 * seconds} s")
            client.close()


def one_way(make, seconds=2):
    """Bytes that go one way only keep the path open, too."""
    with Serve("--keepalive", "off") as serve, make(serve.address, timeout=seconds) as proxy:
        with Client(proxy.address) as client:
            for _ in range(seconds * 6):
                client.send(PONG)  # Nobody answers a pong.
                time.sleep(0.5)
            client.echo("still there")
            expect({}, serve.causes(), f"what ended in {seconds * 3} s")
            client.close()


def vanished(make):
    """The proxy acknowledges for a client that is gone; only the end-to-end ping finds out."""
    with Serve("--keepalive", "1s/1s") as serve, make(serve.address) as proxy:
        with Client(proxy.address) as client:
            client.echo("hello")
            closure = serve.closure()  # The client says nothing more, answers to pings included.
            assert closure.startswith("the peer stopped answering: nothing received for "), closure
            print(f"ok      the server's closure: {closure}")
            ended(serve, {"keepalive_timeout": 1})


def shutdown(make):
    """A deploy of the server: its Close goes through the proxy, and so does the answer."""
    with Serve() as serve, make(serve.address) as proxy:
        with Client(proxy.address) as client:
            client.echo("hello")
            serve.process.terminate()
            expect((CLOSE, b"\x03\xf4"), client.receive(), "the goodbye, 1012")
            client.send(CLOSE, b"\x03\xf4")
            expect(0, serve.process.wait(10), "the status of everwire serve")


def proxy_protocol(version):
    send = {1: "send-proxy", 2: "send-proxy-v2"}[version]

    def make(backend):
        return Haproxy(backend, "haproxy-tcp", version=("send-proxy-v2", send))

    with Serve(*TRUST, "--proxy-protocol") as serve:
        with make(serve.address) as proxy:
            believes(proxy, serve, CLIENT)
        expect(None, refusal(serve.address), "a trusted proxy that does not say for whom it speaks is cut")
        with Client(serve.address, source=CLIENT) as client:
            client.echo("hello")
            expect(CLIENT, serve.client_ip(), "the address of one who came past the proxy")
            client.close()
        spoof, status = {
            1: (b"PROXY TCP4 203.0.113.7 127.0.0.1 1 2\r\n", 505),
            2: (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\x7f\0\0\x01\0\x01\0\x02", 400),
        }[version]
        expect(status, refusal(serve.address, source=CLIENT, preface=spoof), "a header of one who is not trusted")


def mistakes():
    """What the document says of lines that are forgotten."""
    upgrade = ("proxy_set_header Upgrade $http_upgrade;", "")
    host = ("proxy_set_header Host $http_host;", "")
    with Serve() as serve:
        with Nginx(serve.address, upgrade=upgrade) as proxy:
            expect(426, refusal(proxy.address), "without the line about Upgrade")
        with Nginx(serve.address, host=host) as proxy:
            origin = f"Origin: http://127.0.0.1:{proxy.address[1]}"
            expect(403, refusal(proxy.address, headers=[origin]), "a page of the same host, without the line about Host")
    with Serve() as serve, Haproxy(serve.address, "haproxy-tcp") as proxy:
        expect(400, refusal(proxy.address), "send-proxy-v2 to a server that does not expect it")
    with Serve() as serve, Haproxy(serve.address, "haproxy-tcp", version=("send-proxy-v2", "send-proxy")) as proxy:
        expect(505, refusal(proxy.address), "send-proxy to a server that does not expect it")
    with Serve(*TRUST, "--proxy-protocol") as serve, Haproxy(serve.address, version=("check", "")) as proxy:
        expect(502, refusal(proxy.address), "no PROXY header for a server that expects one")


def reload_of_nginx():
    """Connections outlive a reload, as long as worker_shutdown_timeout allows."""
    with Serve() as serve, Nginx(serve.address, main="worker_shutdown_timeout 3s;") as proxy:
        with Client(proxy.address) as old:
            old.echo("before")
            proxy.reload()
            with Client(proxy.address) as new:
                new.echo("a new worker")
                old.echo("the old worker")
                expect(None, old.receive(), "what the old one is sent before the end of the stream")
                ended(serve, {"eof_between_frames": 1})
                new.echo("the new one goes on")
                new.close()


def defaults():
    """Both proxies with the limits that they are delivered with, side by side."""
    timeouts = re.findall(r"^\s+timeout (?:client|server)\s+(\d+)$", Path("/etc/haproxy/haproxy.cfg").read_text(), re.M)
    expect(["50000", "50000"], timeouts, "the limits of Debian's haproxy.cfg in ms")
    failed = []

    def run(make, cause, closure, seconds):
        try:
            with Serve("--keepalive", "off") as serve, make(serve.address) as proxy:
                silence(proxy, serve, seconds, cause, closure)
        except BaseException as error:  # A thread's own failure would be lost.
            failed.append(error)

    threads = [threading.Thread(target=run, args=args) for args in ((Nginx, *EOF, 60), (Haproxy, *RESET, 50))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def through(make):
    with Serve() as serve, make(serve.address) as proxy:
        talks(proxy)


# How an end by the proxy reaches the server: its cause, and what the closure says.
EOF = ("eof_between_frames", "the peer ended the stream without a Close")
RESET = ("reset", "the connection was reset by the peer's system")

CHECKS = {
    "nginx": lambda: through(Nginx),
    "nginx-forwarded": lambda: forwarded(Nginx),
    "nginx-idle": lambda: idle(Nginx, *EOF),
    "nginx-alive": lambda: alive(Nginx),
    "nginx-one-way": lambda: one_way(Nginx),
    "nginx-vanished": lambda: vanished(Nginx),
    "nginx-shutdown": lambda: shutdown(Nginx),
    "nginx-reload": reload_of_nginx,
    "haproxy": lambda: through(Haproxy),
    "haproxy-forwarded": lambda: forwarded(Haproxy),
    "haproxy-proxy-v1": lambda: proxy_protocol(1),
    "haproxy-proxy-v2": lambda: proxy_protocol(2),
    "haproxy-idle": lambda: idle(Haproxy, *RESET),
    "haproxy-alive": lambda: alive(Haproxy),
    "haproxy-one-way": lambda: one_way(Haproxy),
    "haproxy-vanished": lambda: vanished(Haproxy),
    "haproxy-shutdown": lambda: shutdown(Haproxy),
    "mistakes": mistakes,
    "defaults": defaults,
}
