"""A session in miniature under load, without sockets."""

import io
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from conformance.judge.codec import Codec
from conformance.judge.probe import serves_two
from conformance.load.report import Findings
from conformance.load.testees import Loaded
from conformance.tests.cases.miniature.session import Session
from conformance.tests.cases.miniature.staged import Staged
from spec.load import load

__all__ = ["CODEC", "found_by"]

CODEC = Codec(load().dialect("7.0.0"))
TIMEOUT = 30.0

Load = Callable[[Loaded, Findings], Awaitable[None]]


async def found_by(load_on: Load, session: type[Session], cache: Path | None = None) -> Findings:
    """What a load finds out about that session."""
    findings = Findings("load", session.__name__, io.StringIO())
    async with trio.open_nursery() as nursery:
        testee = Staged(session, CODEC, nursery, cache)
        two = await serves_two(testee.dial, CODEC, TIMEOUT)
        loaded = Loaded(testee=testee, codec=CODEC, timeout=TIMEOUT, host="nowhere", port=0, pid=None, serves_two=two)
        await load_on(loaded, findings)
        nursery.cancel_scope.cancel()
    return findings
