"""Events of a node as lines of a log."""

import logging

from refimpl.trace import (
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
        case LeftAfterHello(endpoint, served):
            log.info("%s: left right after our HELLO reply, %s", endpoint, _other_version(served))
        case CommandTaken(endpoint, command, detail):
            log.debug("[%s] %s %s", endpoint, command, detail)
        case GraphRan(endpoint, device, seconds, fresh):
            log.debug("%s: %s ran a %sgraph in %.3f ms", endpoint, device, "new " if fresh else "", seconds * 1e3)


def _other_version(served: str) -> str:
    """What a peer that was not content with the version `served` probably wants, and how to give it that."""
    others = " or ".join(version for version in load().versions if version != served)
    flags = " or ".join(f"--proto {version}" for version in load().versions if version != served)
    also = " or ".join(f"--also {version}@PORT" for version in load().versions if version != served)
    return (
        f"which is protocol {served}: probably it speaks another major version, such as {others}; "
        f"try {flags}, or {also} to serve both"
    )
