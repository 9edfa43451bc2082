"""One graph on one device, while its peer may leave.

Rules of this file:
- Devices compute in turn: whoever came first runs first, and a connection has one graph in the queue at most.
- The native call is never abandoned. What wants to end it, a peer that has gone or a server that stops, sets the stop
  word, and then everybody waits until the call is back: only then may the memory it uses be given away.
- A peer that has gone while it waits for its turn leaves the queue.
"""

from collections.abc import Awaitable, Callable

import trio

from refimpl.device.protocol import Program, StopWord
from refimpl.errors import ComputeStopped, RefimplError
from refimpl.service.holdings import Seat

__all__ = ["run_watched"]


async def run_watched(seat: Seat, program: Program, gone: Callable[[], Awaitable[None]]) -> None:
    """Run `program` to its end, in a thread, unless `gone()` returns first.

    Raises what the device raises (ComputeFault), and ComputeStopped if the peer has gone.
    """
    stop = seat.device.new_stop_word()
    error: RefimplError | None = ComputeStopped("the peer left before the graph had its turn")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_stop_when, gone, stop, nursery.cancel_scope)
        # Caught here because a nursery would wrap it in a group.
        try:
            async with seat.turn:
                await trio.to_thread.run_sync(seat.device.run, program, stop)
            error = None
        except RefimplError as caught:
            error = caught
        nursery.cancel_scope.cancel()
    if error is not None:
        raise error


async def _stop_when(gone: Callable[[], Awaitable[None]], stop: StopWord, waiting: trio.CancelScope) -> None:
    try:
        await gone()
    finally:
        stop.set()
    waiting.cancel()
