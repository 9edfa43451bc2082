"""A node as a process of its own that computes with the kernels' oracle: `python -m refimpl.tests.oracle_server`.

It prints its port as soon as it listens, and serves until it is killed.
"""

import trio

from refimpl.limits import Limits
from refimpl.service.server import Server
from refimpl.tests.oracle_device import OracleDevice
from spec.load import load

__all__ = ["serve"]


async def serve() -> None:
    """Serve one oracle in the newest dialect, on a port that the system chooses."""
    server = Server([OracleDevice()], load().dialect(load().newest), Limits())
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    print(listeners[0].socket.getsockname()[1], flush=True)
    await server.serve(listeners)


if __name__ == "__main__":
    trio.run(serve)
