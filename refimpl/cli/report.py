"""Events of a node as lines of a log.

Whatever a peer has a part in carries the peer's place as `source`, so that the log can hold back who says too much.
Text that a peer may have chosen, such as the name of a tensor, is written with escapes.
"""

import logging

from refimpl.cli.quiet import printable
from refimpl.service.bounds.admission import place_of
from refimpl.trace import (
    AcceptFailed,
    CommandTaken,
    ConnectionClosed,
    ConnectionFailed,
    ConnectionOpened,
    ConnectionRefused,
    GraphRan,
    LeftAfterHello,
    TraceEvent,
)
from spec.load import load

__all__ = ["Report"]

ACQUAINTED = 1024
"""places of which it is remembered that they left right after HELLO"""

log = logging.getLogger("refimpl.server")


class Report:
    """Logs events: violations, faults and unusual ends always; the rest, level DEBUG, for those who look.

    A main host opens a dozen connections before the one that it works with, so coming and going alone is no news. Nor
    is a peer that says HELLO and leaves, as whoever only looks whether a node is there does every few seconds: that is
    said once for each place.
    """

    def __init__(self) -> None:
        self._left: dict[tuple[str, str], None] = {}

    def __call__(self, event: TraceEvent) -> None:
        """A refimpl.trace.Trace."""
        match event:
            case ConnectionRefused(endpoint, clause, detail):
                _say(logging.WARNING, endpoint, f"refused: {clause}: {printable(detail)}")
            case ConnectionFailed(endpoint, text):
                _say(logging.ERROR, endpoint, f"closed by a fault of this server:\n{text}")
            case ConnectionOpened(endpoint):
                _say(logging.DEBUG, endpoint, "connected")
            case ConnectionClosed(endpoint, commands, note):
                why = f": {printable(note)}" if note else ""
                _say(logging.INFO if note else logging.DEBUG, endpoint, f"closed after {commands} commands{why}")
            case LeftAfterHello(endpoint, served):
                level = logging.INFO if self._is_new(endpoint, served) else logging.DEBUG
                _say(level, endpoint, f"left right after our HELLO reply, {_other_version(served)}")
            case AcceptFailed(detail):
                log.error("no more connections can be taken for the moment (%s); going on, and trying again", detail)
            case CommandTaken(endpoint, command, detail):
                log.debug("[%s] %s %s", endpoint, command, printable(detail))
            case GraphRan(endpoint, device, seconds, fresh):
                kind = "new " if fresh else ""
                _say(logging.DEBUG, endpoint, f"{device} ran a {kind}graph in {seconds * 1e3:.3f} ms")

    def _is_new(self, endpoint: str, served: str) -> bool:
        key = _place(endpoint), served
        new = key not in self._left
        self._left.pop(key, None)
        self._left[key] = None
        if len(self._left) > ACQUAINTED:
            del self._left[next(iter(self._left))]
        return new


def _place(endpoint: str) -> str:
    host = endpoint.rpartition(":")[0]
    return place_of(host.removeprefix("[").removesuffix("]"))


def _say(level: int, endpoint: str, text: str) -> None:
    if log.isEnabledFor(level):
        log.log(level, "%s: %s", endpoint, text, extra={"source": _place(endpoint)})


def _other_version(served: str) -> str:
    """What a peer that was not content with the version `served` probably wants, and how to give it that."""
    others = " or ".join(version for version in load().versions if version != served)
    flags = " or ".join(f"--proto {version}" for version in load().versions if version != served)
    also = " or ".join(f"--also {version}@PORT" for version in load().versions if version != served)
    return (
        f"which is protocol {served}: probably it speaks another major version, such as {others}; "
        f"try {flags}, or {also} to serve both; or it only looked whether somebody is here (said once for its address)"
    )
