"""An echo server on Python's websockets. Prints its port, then how each connection was closed."""

import asyncio

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


async def echo(connection):
    try:
        while True:
            await connection.send(await connection.recv())
    except ConnectionClosed:
        pass
    received = connection.protocol.close_rcvd
    print("closed", received.code if received else 1006, received.reason if received else "", flush=True)


async def main():
    async with serve(echo, "127.0.0.1", 0, max_size=16 << 20) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main())
