"""A judge over sessions in miniature, and the cases and wrong sessions that tests of judging share."""

from collections.abc import Sequence

import attrs
import trio

from conformance.judge.case import Case
from conformance.judge.codec import Codec
from conformance.judge.run import Judge
from conformance.judge.steps import Send, Talk
from conformance.judge.testee import NotReached
from conformance.judge.verdict import Outcome, Report
from conformance.judge.watch.level import Look, Watch
from conformance.tests.cases.miniature.session import Session
from conformance.tests.cases.miniature.staged import Staged
from conformance.tests.cases.miniature.world import Dead
from spec.load import load

__all__ = ["CODEC", "CannotComeBack", "DiesOfNonsense", "Stage", "case", "faulty", "report_of", "report_with"]

CODEC = Codec(load().dialect("7.0.0"))
TIMEOUT = 5.0


def faulty(codec: Codec) -> Talk[None]:
    yield Send(codec.request("HELLO"))
    raise ZeroDivisionError


def case(name: str, **fields: str) -> Case:
    """A case of that id whose script is a fault."""
    return Case(id=name, title="t", script=faulty, **fields)  # type: ignore[arg-type]


class DiesOfNonsense(Session):
    async def not_known(self, byte: int, size: int) -> None:
        raise Dead("ended by SIGABRT")


class CannotComeBack(Staged):
    async def restart(self) -> None:
        raise NotReached("it is gone for good")


@attrs.frozen(kw_only=True)
class Stage:
    """How a testee is staged; look: what it holds, if anybody can see."""

    session: type[Session] = Session
    testee: type[Staged] = Staged
    look: Look | None = None


async def report_of(stage: Stage, cases: Sequence[Case]) -> tuple[Report, int]:
    """The report, and how often the testee was started again."""
    async with trio.open_nursery() as nursery:
        staged = stage.testee(stage.session, CODEC, nursery)
        judge = Judge(staged, CODEC, TIMEOUT, Watch(stage.look) if stage.look is not None else None)
        await judge.look()
        report = await judge.run(cases, lambda outcome: None)
        nursery.cancel_scope.cancel()
    return report, staged.starts


def report_with(*outcomes: Outcome) -> Report:
    """A report of these."""
    return Report(testee="somebody", version="7.0.0", notes=("one client",), outcomes=outcomes)
