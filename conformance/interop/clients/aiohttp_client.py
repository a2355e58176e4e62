"""Checks an echo server with Python's aiohttp, which cannot send a message in fragments."""

import asyncio
import sys

import aiohttp
from checks import MIB, expect, run

URL = sys.argv[1]


class Socket:
    """A connection with a session of its own."""

    def __init__(self, **options):
        self.options = options

    async def __aenter__(self):
        self.session = aiohttp.ClientSession()
        return await self.session.ws_connect(URL, max_msg_size=16 << 20, **self.options)

    async def __aexit__(self, *_):
        await self.session.close()


async def text():
    async with Socket() as socket:
        for message in "hi", "größer":
            await socket.send_str(message)
            expect(message, await socket.receive_str())


async def binary():
    async with Socket() as socket:
        await socket.send_bytes(bytes(range(256)))
        expect(bytes(range(256)), await socket.receive_bytes())


async def empty_message():
    async with Socket() as socket:
        await socket.send_str("")
        expect("", await socket.receive_str())
        await socket.send_bytes(b"")
        expect(b"", await socket.receive_bytes())


async def one_mebibyte():
    async with Socket() as socket:
        await socket.send_str(MIB)
        expect(MIB, await socket.receive_str())


async def ping_is_answered():
    async with Socket(autoping=False) as socket:
        await socket.ping(b"are you there")
        answer = await socket.receive()
        expect((aiohttp.WSMsgType.PONG, b"are you there"), (answer.type, bytes(answer.data)))


async def compression_offered():
    async with Socket(compress=15) as socket:
        await socket.send_str("hi" * 1000)
        expect("hi" * 1000, await socket.receive_str())


async def subprotocol_offered_but_not_chosen():
    async with Socket(protocols=["nobody.speaks.this"]) as socket:
        expect(None, socket.protocol)
        await socket.send_str("hi")
        expect("hi", await socket.receive_str())


async def close_code_comes_back():
    async with Socket() as socket:
        expect(True, await socket.close(code=4001, message=b"bye"))
        expect(4001, socket.close_code)


asyncio.run(
    run(
        [
            text,
            binary,
            empty_message,
            one_mebibyte,
            ping_is_answered,
            compression_offered,
            subprotocol_offered_but_not_chosen,
            close_code_comes_back,
        ]
    )
)
