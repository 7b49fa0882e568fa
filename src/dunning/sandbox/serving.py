"""An ASGI application under uvicorn, in the caller's event loop or as the process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Generator

import uvicorn
from starlette.types import ASGIApp


def server_for(app: ASGIApp, host: str, port: int, log_level: str = "warning") -> uvicorn.Server:
    """A uvicorn server of this application; shutdown waits at most a second for connections being held."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http="h11",
        ws="none",
        lifespan="off",
        log_level=log_level,
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(config)


class _GuestServer(uvicorn.Server):
    """A server inside somebody else's process: it leaves its signals alone and tells when it is up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve in the running loop while the block lasts; gives the base URL. Port 0 takes a free one."""
    listener = _listener(host, port)
    server = _GuestServer(server_for(app, host, port).config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    up = asyncio.create_task(server.up.wait())
    try:
        await asyncio.wait({task, up}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            raise RuntimeError("the server did not start") from task.exception()
        yield f"http://{host}:{listener.getsockname()[1]}"
    finally:
        up.cancel()
        server.should_exit = True
        await task
        listener.close()


def _listener(host: str, port: int) -> socket.socket:
    # asyncio switches off Nagle's algorithm only where the socket names its protocol; without that every
    # answer on a kept connection waits for a delayed acknowledgement, 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(2048)
    return listener
