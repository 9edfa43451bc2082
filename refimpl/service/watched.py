"""One graph on one device, while its peer may leave.

Rules of this file:
- Devices compute in turn: whoever came first runs first, and a connection has one graph in the queue at most.
- A run is never abandoned. What wants to end it, a peer that has gone or a server that stops, sets the stop word, and
  then everybody waits until it has ended: only then may the memory it uses be given away.
- A peer that has gone while it waits for its turn leaves the queue.
- A graph whose turn it is and that has nothing to prepare runs without another thread of Python, and if it is over
  within `SOON` nobody looks after the peer meanwhile: both would add much to the time of one decoded token.
"""

from collections.abc import Awaitable, Callable
from functools import partial

import trio

from refimpl.device.protocol import Program, Run, StopWord
from refimpl.errors import ComputeStopped, RefimplError
from refimpl.service.holdings import Seat

__all__ = ["Gone", "run_watched"]

Gone = Callable[[], Awaitable[None]]
"""returns when the peer has gone"""
SOON = 0.02
"""seconds"""


async def run_watched(seat: Seat, program: Program, gone: Gone) -> None:
    """Run `program` to its end unless `gone()` returns first.

    Raises what the device raises (ComputeFault), and ComputeStopped if the peer has gone.
    """
    stop = seat.device.new_stop_word()
    run = _begun(seat, program, stop)
    if run is None:
        await _watched(gone, stop, partial(_in_turn, seat, program, stop))
        return
    try:
        await _ended(run, stop, gone)
    finally:
        seat.turn.release()


def _begun(seat: Seat, program: Program, stop: StopWord) -> Run | None:
    """The run, if it can be begun at once; the turn is taken then."""
    try:
        seat.turn.acquire_nowait()
    except trio.WouldBlock:
        return None
    run = None
    try:
        run = seat.device.begin(program, stop)
    finally:
        if run is None:
            seat.turn.release()
    return run


async def _ended(run: Run, stop: StopWord, gone: Gone) -> None:
    with trio.move_on_after(SOON, shield=True) as soon:
        await trio.lowlevel.wait_readable(run.fileno())
    if soon.cancelled_caught:
        await _watched(gone, stop, partial(_finished, run, stop))
    else:
        run.finish()


async def _finished(run: Run, stop: StopWord) -> None:
    """Wait for the end, which comes soon when this is cancelled."""
    try:
        await trio.lowlevel.wait_readable(run.fileno())
    except trio.Cancelled:
        stop.set()
        with trio.CancelScope(shield=True):
            await trio.lowlevel.wait_readable(run.fileno())
    run.finish()


async def _in_turn(seat: Seat, program: Program, stop: StopWord) -> None:
    async with seat.turn:
        run = seat.device.begin(program, stop)
        if run is None:
            await trio.to_thread.run_sync(seat.device.run, program, stop, limiter=seat.thread)
            return
        await _finished(run, stop)


async def _watched(gone: Gone, stop: StopWord, work: Callable[[], Awaitable[None]]) -> None:
    """Do `work`, and stop it when `gone()` returns; raises ComputeStopped if it never began."""
    error: RefimplError | None = ComputeStopped("the peer left before the graph had its turn")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_stop_when, gone, stop, nursery.cancel_scope)
        # Caught here because a nursery would wrap it in a group.
        try:
            await work()
            error = None
        except RefimplError as caught:
            error = caught
        nursery.cancel_scope.cancel()
    if error is not None:
        raise error


async def _stop_when(gone: Gone, stop: StopWord, waiting: trio.CancelScope) -> None:
    try:
        await gone()
    finally:
        stop.set()
    waiting.cancel()
