"""A ceiling: a bare aiohttp handler on uvloop that decodes JSON and sends it back."""

from __future__ import annotations

import asyncio
import sys

import msgspec
import uvloop
from aiohttp import web


async def _echo(request: web.BaseRequest) -> web.Response:
    value = msgspec.json.decode(await request.read())
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")


async def _serve() -> None:
    runner = web.ServerRunner(web.Server(_echo, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"echo on http://127.0.0.1:{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve())
