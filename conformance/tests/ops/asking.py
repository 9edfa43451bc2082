"""Ask a server in miniature cases about ops, without the probes between them: what a case sees is the question here."""

from collections.abc import Iterable, Mapping

import trio

from conformance.cases.ops import core, listed, refusals
from conformance.judge.case import Case
from conformance.judge.codec import Codec
from conformance.judge.run import conduct
from conformance.judge.verdict import Verdict
from conformance.tests.cases.miniature.session import Session
from conformance.tests.cases.miniature.staged import Staged
from spec.load import load

__all__ = ["OP_CASES", "verdicts"]

OP_CASES: Mapping[str, Case] = {**listed.CASES, **core.CASES, **refusals.CASES}
TIMEOUT = 5.0


async def verdicts(session: type[Session], cases: Iterable[Case], version: str = "7.0.0") -> dict[str, Verdict]:
    """Case > verdict."""
    codec = Codec(load().dialect(version))
    found: dict[str, Verdict] = {}
    async with trio.open_nursery() as nursery:
        testee = Staged(session, codec, nursery)
        for case in cases:
            outcome = await conduct(case, codec, testee.dial, TIMEOUT)
            assert outcome.verdict is not Verdict.ERROR, f"{case.id}: {outcome.came}"
            found[case.id] = outcome.verdict
        nursery.cancel_scope.cancel()
    return found
