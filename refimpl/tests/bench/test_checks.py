"""What checks cost is counted where they happen, each stage for itself, and drawn as shares of a token's time."""

from collections.abc import Iterator

import attrs
import numpy as np
import pytest

from refimpl.bench.checks.indices import INDEX_OPERANDS, index_count, index_seconds
from refimpl.bench.checks.stages import CHECKS, FIRST, STAGES, Stopwatch, watched
from refimpl.bench.checks.table import Cost, Row, drawn
from refimpl.device.cpu.lower import CHECKS_INDICES
from refimpl.tests.graph.samples import layer
from refimpl.tests.oracle_device import OracleDevice
from refimpl.wire.codec import Codec

STAGE, OTHER = list(CHECKS)[:2]


def ticking() -> Iterator[int]:
    """A clock that is 100 ns later at each look."""
    yield from range(0, 1 << 30, 100)


@pytest.fixture
def stopwatch() -> Stopwatch:
    clock = ticking()
    return Stopwatch(lambda: next(clock))


def test_nothing_is_counted_before_the_first_graph(stopwatch: Stopwatch) -> None:
    early = stopwatch.around(STAGE, lambda: 7)
    first = stopwatch.around(OTHER, lambda: 8, starts=True)
    assert (early(), stopwatch.spent[STAGE].calls) == (7, 0)
    assert first() == 8
    assert early() == 7
    assert (stopwatch.spent[STAGE].calls, stopwatch.spent[OTHER].calls) == (1, 1)
    assert stopwatch.spent[STAGE].ns == 100


def test_a_stage_is_not_charged_for_the_one_inside_it(stopwatch: Stopwatch) -> None:
    inner = stopwatch.around(OTHER, lambda: None, starts=True)
    outer = stopwatch.around(STAGE, lambda: [inner(), inner()], starts=True)
    outer()
    assert stopwatch.spent[OTHER].ns == 200
    assert stopwatch.spent[STAGE].ns == 500 - 200


def test_a_check_that_raises_is_counted_and_raises_on(stopwatch: Stopwatch) -> None:
    def refuse() -> None:
        raise ValueError("no")

    timed = stopwatch.around(STAGE, refuse, starts=True)
    with pytest.raises(ValueError, match="no"):
        timed()
    assert stopwatch.spent[STAGE].calls == 1


def test_every_stage_is_there_to_be_watched_and_is_let_alone_afterwards(stopwatch: Stopwatch) -> None:
    before = {place: getattr(*place) for places in STAGES.values() for place in places}
    with watched(stopwatch):
        assert all(getattr(*place) is not function for place, function in before.items())
    assert all(getattr(*place) is function for place, function in before.items())
    assert FIRST in before
    assert (Codec, "check_size") in before


def test_the_indices_of_a_graph_are_counted() -> None:
    tokens, caches = 5, 2
    assert index_count(layer(flash=True, tokens=tokens).build()) == caches * tokens + 1
    assert set(INDEX_OPERANDS) == set(CHECKS_INDICES)


def test_an_index_takes_some_time() -> None:
    assert 0 < index_seconds(OracleDevice()) < 1


def test_the_table_has_shares_of_a_token_and_a_verdict() -> None:
    rows = [Row("one", 30.0, 2.0), Row("two", 60.0, 1.0)]
    cost = Cost(
        host="refimpl",
        tokens=10,
        tokens_per_second=100.0,
        rows=rows,
        beside=[Row("apart", 200.0, 3.0)],
        loop_microseconds=500.0,
        clock_microseconds=1.0,
    )
    assert np.isclose(cost.share, 0.009)
    lines = drawn(cost).splitlines()
    assert lines[2].split() == ["one", "2.00", "30.0", "0.30%"]
    assert lines[4].split() == ["all", "checks", "90.0", "0.90%"]
    assert lines[-1] == "less than 1% of the time of a token: yes"
    assert cost.as_json()["stages"] == {"one": 30.0, "two": 60.0}
    slower = attrs.evolve(cost, rows=[*rows, Row("three", 10.0, 1.0)])
    assert drawn(slower).endswith("of a token: NO")
