"""Events of a node as lines of a log."""

import logging

from refimpl.trace import (
    CommandTaken,
    ConnectionClosed,
    ConnectionFailed,
    ConnectionOpened,
    ConnectionRefused,
    GraphRan,
    TraceEvent,
)

__all__ = ["report"]

log = logging.getLogger("refimpl.server")


def report(event: TraceEvent) -> None:
    """Log an event: violations and faults always, the rest of a connection's life for those who look."""
    match event:
        case ConnectionRefused(endpoint, clause, detail):
            log.warning("%s: refused: %s: %s", endpoint, clause, detail)
        case ConnectionFailed(endpoint, text):
            log.error("%s: closed by a fault of this server:\n%s", endpoint, text)
        case ConnectionOpened(endpoint):
            log.info("%s: connected", endpoint)
        case ConnectionClosed(endpoint, commands, note):
            log.info("%s: closed after %d commands%s", endpoint, commands, f": {note}" if note else "")
        case CommandTaken(endpoint, command, detail):
            log.info("[%s] %s %s", endpoint, command, detail)
        case GraphRan(endpoint, device, seconds, fresh):
            log.debug("%s: %s ran a %sgraph in %.3f ms", endpoint, device, "new " if fresh else "", seconds * 1e3)
