"""One snapshot of a fleet, without a screen: every node is visited once, all at the same time, and nothing waits for a
node longer than the timeout.
"""

from collections.abc import Sequence

import trio

from tui.feed.watch import Terms, Visitor
from tui.model.events import Event
from tui.model.fleet import Fleet

__all__ = ["look_once"]


async def look_once(endpoints: Sequence[str], terms: Terms, timeout: float) -> Fleet:
    """The fleet after one visit to each node, or `timeout` seconds; `terms.tell` is told every event too."""
    fleet = Fleet.of(endpoints)

    def tell(event: Event) -> None:
        nonlocal fleet
        fleet = fleet.after(event)
        terms.tell(event)

    own = Terms(tell, terms.dialects, terms.clock, min(terms.dial_timeout, timeout), terms.reply_timeout)
    with trio.move_on_after(timeout):
        async with trio.open_nursery() as nursery:
            for endpoint in endpoints:
                nursery.start_soon(Visitor(endpoint, own).visit)
    return fleet
