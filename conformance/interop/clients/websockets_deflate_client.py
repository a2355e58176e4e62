"""Checks the compression of an echo server with Python's websockets, which can ask for every parameter."""

import asyncio
import itertools
import sys

from checks import MIB, expect, run
from websockets.asyncio.client import connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

URL, MODE = sys.argv[1:]
JSON = "".join(f'{{"id":{i},"name":"item {i % 7}","ok":true}},' for i in range(200))


async def echoed(**parameters):
    extension = ClientPerMessageDeflateFactory(**parameters)
    async with connect(URL, compression=None, extensions=[extension], max_size=16 << 20) as connection:
        (agreed,) = connection.protocol.extensions
        if MODE == "shared":
            expect((True, True), (agreed.local_no_context_takeover, agreed.remote_no_context_takeover))
        for message in (JSON, JSON, "", "x", JSON.encode() * 30, MIB, JSON, bytes(range(256)) * 9):
            await connection.send(message)
            expect(message, await connection.recv())
        pieces = [JSON, "", "é", JSON]
        await connection.send(pieces)
        expect("".join(pieces), await connection.recv())
        return agreed


async def every_pair_of_window_bits():
    for server, client in itertools.product((8, 9, 12, 15, None), (9, 12, 15, True)):
        agreed = await echoed(server_max_window_bits=server, client_max_window_bits=client)
        expect(server or 15, agreed.remote_max_window_bits)
        if MODE == "dedicated":
            expect(min(12, 15 if client is True else client), agreed.local_max_window_bits)


async def every_wish_about_context():
    for server, client in itertools.product((True, False), repeat=2):
        agreed = await echoed(server_no_context_takeover=server, client_no_context_takeover=client)
        if MODE == "dedicated":
            expect((client, server), (agreed.local_no_context_takeover, agreed.remote_no_context_takeover))


asyncio.run(run([every_pair_of_window_bits, every_wish_about_context]))
