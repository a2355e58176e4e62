"""Servers that are wrong in one way each, on plain sockets. Prints its port.

    wrong_servers.py never-pongs | resets-on-close | never-closes-tcp | wrong-accept | close-1006 | swallows
"""

import asyncio
import base64
import hashlib
import socket
import struct
import sys

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
TAKEN = 20_000  # what `swallows` echoes; anything longer vanishes


async def read_request(reader):
    headers = {}
    for line in (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return headers


async def read_frame(reader):
    first, second = await reader.readexactly(2)
    length = second & 0x7F
    if length == 126:
        (length,) = struct.unpack(">H", await reader.readexactly(2))
    elif length == 127:
        (length,) = struct.unpack(">Q", await reader.readexactly(8))
    assert second & 0x80, "a client masks"
    key = await reader.readexactly(4)
    payload = await reader.readexactly(length)
    pad = (key * (length // 4 + 1))[:length]
    return first & 0x0F, (int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")).to_bytes(length, "big")


def frame(opcode, payload):
    head = bytes([0x80 | opcode])
    if len(payload) < 126:
        head += bytes([len(payload)])
    elif len(payload) < 1 << 16:
        head += struct.pack(">BH", 126, len(payload))
    else:
        head += struct.pack(">BQ", 127, len(payload))
    return head + payload


def reset(writer):
    """Closes so that the system sends RST instead of FIN."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def serve(fault, reader, writer):
    key = (await read_request(reader))["sec-websocket-key"]
    if fault == "wrong-accept":
        key = "x" + key[1:]
    accept = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept.encode() + b"\r\n\r\n"
    )
    while True:
        opcode, payload = await read_frame(reader)
        if opcode in (TEXT, BINARY) and not (fault == "swallows" and len(payload) > TAKEN):
            writer.write(frame(opcode, payload))
        elif opcode == PING and fault != "never-pongs":
            writer.write(frame(PONG, payload))
        elif opcode == CLOSE:
            if fault == "resets-on-close":
                return reset(writer)
            code = struct.pack(">H", 1006) if fault == "close-1006" else payload[:2]
            writer.write(frame(CLOSE, code))
            if fault == "never-closes-tcp":
                await reader.read()  # until the client loses patience
            await writer.drain()
            return writer.close()
        await writer.drain()


async def main(fault):
    async def handle(reader, writer):
        try:
            await serve(fault, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main(sys.argv[1]))
