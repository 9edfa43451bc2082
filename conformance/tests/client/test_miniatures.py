"""The judge of clients is judged: a right client passes, and each wrong one fails exactly the cases that it should."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from conformance.client.catalogue import CASES
from conformance.client.judge import ClientJudge
from conformance.client.questions import errs
from conformance.judge.codec import Codec
from conformance.judge.verdict import Report, Verdict
from conformance.tests.cases.miniature.session import Session
from conformance.tests.cases.miniature.staged import Staged
from conformance.tests.client import miniature
from spec.load import load

CODEC = Codec(load().dialect("7.0.0"))
SCRIPT = Path(miniature.__file__)
LIMIT = 4.0
ASKED = (
    "FRAME-6/get-tensor-one-long",
    "CLIENT-1/get-alignment-declares-2-63",
    "CLIENT-2/get-tensor-closed-inside",
    "CLIENT-3/device-count-silent",
    "CLIENT-4/device-count-one-short",
    "FRAME-1/hello-byte-by-byte",
    "HELLO-4/minor-newer",
    "HELLO-9/leaves",
    "CLIENT-5/alignment-48",
    "CLIENT-6/devices-2-32-1",
    "CLIENT-7/zeros",
    "FREE-1/not-after",
)
"""one of each kind"""
ERRORS = [case for case in ASKED if CASES[case].asks is errs]
WRONG: dict[str, dict[str, Verdict]] = {
    "Client": {},
    "WaitsForEver": {"CLIENT-3/device-count-silent": Verdict.HUNG},
    "BelievesSizes": {"CLIENT-1/get-alignment-declares-2-63": Verdict.LEAKED},
    "IgnoresSizes": {"FRAME-6/get-tensor-one-long": Verdict.FAIL},
    "Aborts": dict.fromkeys(ERRORS, Verdict.CRASHED),
    "HidesTheError": dict.fromkeys(ERRORS, Verdict.FAIL),
    "NamesNobody": {"CLIENT-4/device-count-one-short": Verdict.FAIL},
    "MakesUpTheRest": {"CLIENT-2/get-tensor-closed-inside": Verdict.FAIL},
    "NeedsItWhole": {"FRAME-1/hello-byte-by-byte": Verdict.FAIL},
    "TakesAnyMinor": {"HELLO-4/minor-newer": Verdict.FAIL},
    "TakesAnyAlignment": {"CLIENT-5/alignment-48": Verdict.FAIL},
    "CountsOnDevices": {"CLIENT-6/devices-2-32-1": Verdict.LEAKED},
    "DiesOfZeros": {"CLIENT-7/zeros": Verdict.CRASHED},
    "TalksOn": {"HELLO-9/leaves": Verdict.FAIL},
}


@asynccontextmanager
async def judging(client: str) -> AsyncIterator[ClientJudge]:
    """A judge of that client, behind whose hostile server stands a right one in miniature."""
    async with trio.open_nursery() as nursery:
        server = Staged(Session, CODEC, nursery)
        yield ClientJudge(client, f"{sys.executable} -S {SCRIPT} {{endpoint}} {client}", server, CODEC, LIMIT)
        nursery.cancel_scope.cancel()


async def report_on(client: str, *asked: str) -> Report:
    async with judging(client) as judge:
        await judge.look()
        return await judge.run([CASES[name] for name in asked], lambda outcome: None)


@pytest.mark.parametrize("client", WRONG)
async def test_a_wrong_client_fails_what_it_does_wrongly_and_nothing_else(client: str) -> None:
    report = await report_on(client, *ASKED)
    told = {o.case.id: o.verdict for o in report.outcomes if o.verdict is not Verdict.PASS}
    assert told == WRONG[client], [outcome.came for outcome in report.outcomes]
    assert not report.cut_short
