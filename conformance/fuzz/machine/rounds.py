"""One round of Hypothesis: examples by a seed, and the shrinking of what the first failing one has met."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.configuration import set_hypothesis_home_dir
from hypothesis.errors import HypothesisException
from hypothesis.reporting import with_reporter
from hypothesis.stateful import run_state_machine_as_test

from conformance.fuzz.machine.sessions import Arena, machine
from conformance.fuzz.stage import Finding

__all__ = ["play_round"]

STEPS = 20


def play_round(arena: Arena, number: int, examples: int) -> None:
    """Play so many examples by a seed, fewer when one of them meets something; the arena knows what."""
    quiet = settings(
        max_examples=examples,
        stateful_step_count=STEPS,
        phases=(Phase.generate, Phase.shrink),
        database=None,
        deadline=None,
        verbosity=Verbosity.quiet,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    with _nothing_kept(), with_reporter(lambda _: None):
        try:
            run_state_machine_as_test(seed(number)(machine(arena)), settings=quiet)
        except (Finding, HypothesisException, ExceptionGroup):
            """What was found is in the arena; that it cannot be met again when time is over is no error."""


@contextmanager
def _nothing_kept() -> Iterator[None]:
    """Hypothesis keeps a folder of its own, where the program is started; a judge leaves none behind."""
    with tempfile.TemporaryDirectory(prefix="refimpl-fuzz-") as folder:
        set_hypothesis_home_dir(folder)
        try:
            yield
        finally:
            set_hypothesis_home_dir(None)
