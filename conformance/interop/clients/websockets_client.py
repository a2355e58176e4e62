"""Checks an echo server with Python's websockets."""

import asyncio
import sys
import time

from checks import MIB, expect, run
from websockets.asyncio.client import connect

URL = sys.argv[1]


async def echoed(*messages):
    async with connect(URL, compression=None, max_size=16 << 20) as connection:
        for message in messages:
            await connection.send(message)
            if not isinstance(message, (str, bytes)):  # an iterable goes out as fragments
                message = message[0][:0].join(message)
            expect(message, await connection.recv())


async def text():
    await echoed("hi", "größer")


async def binary():
    await echoed(bytes(range(256)))


async def empty_message():
    await echoed("", b"")


async def one_mebibyte():
    await echoed(MIB, b"\xff" * (1 << 20))


async def fragmented_message():
    await echoed(["a", "", "é", "z"], [b"a", b"", b"z"])


async def ping_is_answered():
    async with connect(URL) as connection:
        await (await connection.ping(b"are you there"))


async def ping_inside_a_fragmented_message():
    async with connect(URL, compression=None) as connection:

        async def fragments():
            yield "before "
            await (await connection.ping())
            yield "after"

        await connection.send(fragments())
        expect("before after", await connection.recv())


async def compression_offered():
    async with connect(URL, compression="deflate") as connection:
        await connection.send("hi" * 1000)
        expect("hi" * 1000, await connection.recv())


async def subprotocol_offered_but_not_chosen():
    async with connect(URL, subprotocols=["nobody.speaks.this"]) as connection:
        expect(None, connection.subprotocol)
        await connection.send("hi")
        expect("hi", await connection.recv())


async def close_code_comes_back():
    async with connect(URL) as connection:
        started = time.monotonic()
        await connection.close(4001, "bye")
        expect(4001, connection.protocol.close_rcvd.code)
        # The server is the one to close TCP. This client would wait ten seconds for that.
        expect(True, time.monotonic() - started < 5)


async def close_without_a_code():
    async with connect(URL) as connection:
        connection.protocol.send_close()
        connection.send_data()
        await connection.wait_closed()
        expect(1005, connection.close_code)


asyncio.run(
    run(
        [
            text,
            binary,
            empty_message,
            one_mebibyte,
            fragmented_message,
            ping_is_answered,
            ping_inside_a_fragmented_message,
            compression_offered,
            subprotocol_offered_but_not_chosen,
            close_code_comes_back,
            close_without_a_code,
        ]
    )
)
