"""Which functions of the server are checks, and a stopwatch around each of them.

What counts as a check
- Whether a command is known, legal now and of a legal size; whether handles and regions are the client's and inside;
  whether a graph is one that is known; a new graph's check; what is counted for the limits. The values of indices are
  checked in kernels, which no stopwatch can see: indices.py.
- What is no check: to take messages apart, which a server that trusts its clients has to do as well (a few comparisons
  of counts and sizes stand in it), to compile a graph and run it, sockets, copies, replies. The first stands in the
  table beside the checks, since where it ends and checking begins is a matter of taste.

Rules
- A stage's time is its own: what a stage inside another takes is the inner one's. The clock's own time is in it.
- Stages run in the event loop and in threads; each thread has a stack of its own.
- Nothing is counted before the first graph: the upload of a model is no decoding.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from types import MappingProxyType
from typing import Any

import attrs

from refimpl.service import conversation, running
from refimpl.service.bounds.arrivals import Arrival
from refimpl.service.holdings import Holdings
from refimpl.service.programs import Programs
from refimpl.session.connection import Connection
from refimpl.wire.codec import Codec

__all__ = ["APART", "CHECKS", "FIRST", "STAGES", "Spent", "Stopwatch", "watched"]

Place = tuple[Any, str]
"""a class or module, and the name of a function in it"""

FIRST: Place = (Programs, "match")
"""what a graph is met by first"""
CHECKS: Mapping[str, Sequence[Place]] = MappingProxyType(
    {
        "command, phase and size": ((Codec, "check_known"), (Connection, "_check_phase"), (Codec, "check_size")),
        "handles and regions": ((Holdings, "region"), (Holdings, "seat"), (conversation, "moved_bytes")),
        "graph compared": (FIRST, (Programs, "use"), (Programs, "recall")),
        "new graph checked": ((running, "build"),),
        "limits counted": ((Arrival, "grow"), (Arrival, "check"), (Arrival, "done"), (Arrival, "complete")),
    }
)
"""in the order in which a message meets them"""
APART: Mapping[str, Sequence[Place]] = MappingProxyType(
    {"messages taken apart": ((Connection, "next_event"), (Codec, "decode_request"))}
)
"""no checks, but beside them"""
STAGES: Mapping[str, Sequence[Place]] = MappingProxyType({**CHECKS, **APART})


@attrs.define
class Spent:
    """Nanoseconds and calls of one stage."""

    ns: int = 0
    calls: int = 0


class Stopwatch:
    """Times functions under names of stages, by a clock in nanoseconds; stands still until the first graph."""

    def __init__(self, clock: Callable[[], int] = time.perf_counter_ns) -> None:
        self.spent: dict[str, Spent] = {name: Spent() for name in STAGES}
        self.runs = False
        self._clock = clock
        self._lock = threading.Lock()
        self._local = threading.local()

    def around(self, stage: str, function: Callable[..., Any], starts: bool = False) -> Callable[..., Any]:
        """The same function, timed; `starts`: the watch runs from its first call on."""
        clock, local = self._clock, self._local

        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            if starts:
                self.runs = True
            if not self.runs:
                return function(*args, **kwargs)
            inner: list[int] = local.__dict__.setdefault("inner", [])
            inner.append(0)
            begin = clock()
            try:
                return function(*args, **kwargs)
            finally:
                whole = clock() - begin
                own = whole - inner.pop()
                if inner:
                    inner[-1] += whole
                with self._lock:
                    spent = self.spent[stage]
                    spent.ns += own
                    spent.calls += 1

        return timed


@contextmanager
def watched(stopwatch: Stopwatch) -> Iterator[None]:
    """Within the block the functions of all stages are timed."""
    before = [(owner, name, getattr(owner, name)) for places in STAGES.values() for owner, name in places]
    try:
        for stage, places in STAGES.items():
            for place in places:
                owner, name = place
                setattr(owner, name, stopwatch.around(stage, getattr(owner, name), starts=place == FIRST))
        yield
    finally:
        for owner, name, function in before:
            setattr(owner, name, function)
