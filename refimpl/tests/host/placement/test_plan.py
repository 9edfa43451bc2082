"""Placement, against what stock llama.cpp was seen to do (its `-ngl N + 1` is ours N, see plan.py)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.errors import UsageError
from refimpl.host.placement.plan import LOCAL, Plan, Stage, place, shares

L = LOCAL


def counts(plan: Plan) -> list[int]:
    """Items on the local CPU and on each of two devices, the output among them."""
    items = [*plan.layers, plan.output]
    return [items.count(device) for device in (LOCAL, 0, 1)]


@pytest.mark.parametrize(
    ("gpu_layers", "weights", "expected"),
    [
        (None, (1, 1), [0, 16, 15]),
        (99, (1, 1), [0, 16, 15]),
        (99, (3, 1), [0, 24, 7]),
        (99, (1, 0), [0, 31, 0]),
        (99, (0, 1), [0, 0, 31]),
        (14, (1, 1), [16, 8, 7]),
        (14, (3, 1), [16, 12, 3]),
        (29, (1, 1), [1, 15, 15]),
        (0, (1, 1), [31, 0, 0]),
        (99, (), [31, 0, 0]),
    ],
)
def test_thirty_layers_as_stock_divides_them(
    gpu_layers: int | None, weights: tuple[float, ...], expected: list[int]
) -> None:
    assert counts(place(30, gpu_layers, weights)) == expected


def test_the_last_layers_and_the_output_leave_the_local_cpu() -> None:
    assert place(4, 2, (1.0,)) == Plan((L, L, 0, 0), 0)


def test_one_layer_takes_the_output_with_it() -> None:
    assert place(4, 1, (1.0,)) == Plan((L, L, L, 0), 0)


def test_an_output_alone_on_the_second_device_is_a_stage_without_layers() -> None:
    assert place(2, None, (1, 1)).stages() == (
        Stage(device=0, first=0, last=2, head=False),
        Stage(device=1, first=2, last=2, head=True),
    )


@given(
    n_layer=st.integers(1, 90),
    gpu_layers=st.none() | st.integers(0, 100),
    weights=st.lists(st.floats(0, 1e12, allow_subnormal=False), max_size=5).filter(lambda w: not w or sum(w) > 0),
)
def test_stages_cover_every_layer_once_in_order_and_end_with_the_head(
    n_layer: int, gpu_layers: int | None, weights: list[float]
) -> None:
    plan = place(n_layer, gpu_layers, weights)
    stages = plan.stages()
    assert [layer for stage in stages for layer in range(stage.first, stage.last)] == list(range(n_layer))
    assert [stage.head for stage in stages] == [False] * (len(stages) - 1) + [True]
    assert [stage.device for stage in stages] == sorted({stage.device for stage in stages})
    assert plan.on_devices() == (min(n_layer, n_layer if gpu_layers is None else gpu_layers) if weights else 0)
    assert all(stage.device == LOCAL or weights[stage.device] > 0 for stage in stages)


def test_free_memory_counts_where_there_is_no_split() -> None:
    assert shares((), (100, 300)) == (100.0, 300.0)
    assert shares((0.0, 0.0), (100, 300)) == (100.0, 300.0)


def test_devices_that_report_no_memory_share_alike() -> None:
    assert shares((), (0, 0)) == (1.0, 1.0)


def test_a_split_is_filled_with_zeros_and_cut() -> None:
    assert shares((3.0,), (1, 1)) == (3.0, 0.0)
    assert shares((3.0, 1.0, 5.0), (1, 1)) == (3.0, 1.0)


def test_a_split_beyond_the_devices_is_refused() -> None:
    with pytest.raises(UsageError, match=r"-ts .* 2 that exist"):
        shares((0.0, 0.0, 1.0), (1, 1))
