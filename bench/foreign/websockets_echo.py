"""Python's websockets as its echo example has it. With the argument `shared` or `dedicated` messages are compressed,
without or with context."""

import asyncio
import sys

from websockets.asyncio.server import serve
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory


async def echo(connection):
    async for message in connection:
        await connection.send(message)


def compression():
    if sys.argv[1:] == ["shared"]:
        forgets = ServerPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True)
        return {"compression": None, "extensions": [forgets]}
    return {"compression": "deflate" if sys.argv[1:] else None}


async def main():
    async with serve(echo, "127.0.0.1", 0, max_size=16 << 20, **compression()) as server:
        print(f"listening on http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", flush=True)
        await server.serve_forever()


asyncio.run(main())
