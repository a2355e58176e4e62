"""What the Python clients have in common: running named checks, one line each."""

import asyncio
import sys

MIB = "é" * (1 << 19)  # 1 MiB of UTF-8


async def run(checks):
    """Runs each of `checks` and exits 1 if one of them raised."""
    failed = False
    for check in checks:
        name = check.__name__.replace("_", " ")
        try:
            async with asyncio.timeout(20):
                await check()
            print(f"ok      {name}")
        except Exception as error:
            failed = True
            print(f"FAILED  {name}: {type(error).__name__}: {str(error)[:300]}")
    sys.exit(failed)


def expect(expected, actual):
    if expected != actual:
        raise AssertionError(f"expected {expected!r:.80}, got {actual!r:.80}")
