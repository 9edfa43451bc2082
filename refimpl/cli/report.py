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
    """Log an event: violations, faults and unusual ends always; the rest, level DEBUG, for those who look.

    A main host opens a dozen connections before the one that it works with, so coming and going alone is no news.
    """
    match event:
        case ConnectionRefused(endpoint, clause, detail):
            log.warning("%s: refused: %s: %s", endpoint, clause, detail)
        case ConnectionFailed(endpoint, text):
            log.error("%s: closed by a fault of this server:\n%s", endpoint, text)
        case ConnectionOpened(endpoint):
            log.debug("%s: connected", endpoint)
        case ConnectionClosed(endpoint, commands, ""):
            log.debug("%s: closed after %d commands", endpoint, commands)
        case ConnectionClosed(endpoint, commands, note):
            log.info("%s: closed after %d commands: %s", endpoint, commands, note)
        case CommandTaken(endpoint, command, detail):
            log.debug("[%s] %s %s", endpoint, command, detail)
        case GraphRan(endpoint, device, seconds, fresh):
            log.debug("%s: %s ran a %sgraph in %.3f ms", endpoint, device, "new " if fresh else "", seconds * 1e3)
