"""Which graphs a node remembers for one device, as its client has to know: neither end tells the other.

Rules of this file:
- Uids are numbers from 1 to `limit`, and are used again for another graph when their turn comes: so the node's set
  never grows to the size at which both ends would clear it (GRAPH-26).
- Where there are no uids (until 8.0.0, `limit` 0) a node remembers the graph that the device ran last.
- A node may have forgotten everything once a buffer has been freed, on whichever of its devices (GRAPH-24).
"""

from refimpl.host.backends.protocol import Work

__all__ = ["RememberedGraphs"]


class RememberedGraphs:
    """The graphs of one device of one connection, by uid."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._uids: dict[Work, int] = {}
        """least recently used first"""
        self._freed = 0

    def uid_of(self, work: Work, buffers_freed: int) -> tuple[int, bool]:
        """Uid of the graph that runs now, and whether the node remembers it; from now on it does.

        buffers_freed: how many buffers of the connection have been freed so far.
        """
        if buffers_freed != self._freed:
            self._freed = buffers_freed
            self._uids.clear()
        uid = self._uids.pop(work, None)
        known = uid is not None
        if uid is None:
            uid = self._free_uid()
        self._uids[work] = uid
        return uid, known

    def _free_uid(self) -> int:
        if self._limit == 0:
            self._uids.clear()
            return 0
        if len(self._uids) == self._limit:
            return self._uids.pop(next(iter(self._uids)))
        taken = set(self._uids.values())
        return next(uid for uid in range(1, self._limit + 1) if uid not in taken)
