"""A stop word ends a run before it begins, or soon after it is set; the device goes on as if nothing had been.

The run that is stopped would take very much longer than the test is ready to wait.
"""

import threading

import numpy as np
import pytest

from refimpl.device.cpu import CpuDevice
from refimpl.device.protocol import Program, StopWord
from refimpl.errors import ComputeStopped
from refimpl.graph.define import GraphBuilder, Tensor
from refimpl.tests.device.cpu.stage import Stage, activations, nmse
from spec.names import Type

PATIENCE = 30.0
"""seconds; the whole run takes minutes"""
WIDTH, NODES = 2048, 4000
"""each node of some 10^10 operations"""


class Long:
    """`begun` is written by the first node, `ended` by the last; in between, one product over and over again."""

    def __init__(self, stage: Stage) -> None:
        b = GraphBuilder()
        one = b.leaf("one", Type.F32, (1,))
        w, x = b.leaf("w", Type.F32, (WIDTH, WIDTH)), b.leaf("x", Type.F32, (WIDTH, WIDTH))
        self.begun, self.ended = b.output(b.scale(one, 1.0)), b.output(b.scale(one, 1.0))
        stage.lay(b, one, w, x)
        self.program = self._compile(stage, b, (w, x))
        stage.write(b, one, np.ones(1, np.float32))
        self._stage, self._b = stage, b

    def _compile(self, stage: Stage, b: GraphBuilder, operands: tuple[Tensor, Tensor]) -> Program:
        """`ended` was made second and has to run last."""
        products = [b.mul_mat(*operands) for _ in range(NODES)]
        b._tensors.remove(self.ended)
        b._tensors.append(self.ended)
        assert b.nodes == (self.begun, *products, self.ended)
        return stage.compile(b)

    def has(self, marker: Tensor) -> bool:
        return bool(self._stage.floats(self._b, marker)[0])


class Small:
    """x + x, right or not."""

    def __init__(self, stage: Stage) -> None:
        b = GraphBuilder()
        x = b.leaf("x", Type.F32, (64, 3))
        y = b.output(b.add(x, x))
        stage.lay(b, x)
        self.program = stage.compile(b)
        self.data = activations(0, 3, 64)
        stage.write(b, x, self.data)
        self._b, self._y = b, y

    def assert_right(self, stage: Stage) -> None:
        stage.run(self.program)
        assert nmse(stage.floats(self._b, self._y), 2 * self.data.reshape(-1)) == 0


@pytest.fixture
def long(stage: Stage) -> Long:
    return Long(stage)


@pytest.fixture
def small(stage: Stage) -> Small:
    return Small(stage)


class Run(threading.Thread):
    """A run in a thread, with what came of it."""

    def __init__(self, device: CpuDevice, program: Program) -> None:
        super().__init__(daemon=True)
        self.device, self.program = device, program
        self.stop: StopWord = device.new_stop_word()
        self.outcome: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.device.run(self.program, self.stop)
        except ComputeStopped as error:
            self.outcome = error

    def assert_stopped(self) -> None:
        self.join(PATIENCE)
        assert not self.is_alive(), "it was not stopped"
        assert isinstance(self.outcome, ComputeStopped)


def until_begun(long: Long, run: Run) -> None:
    """Look at the marker until it is there; every look lets other threads run."""
    while not long.has(long.begun):
        assert run.is_alive()


def test_a_run_that_is_stopped_beforehand_computes_nothing(stage: Stage, small: Small, long: Long) -> None:
    stop = stage.device.new_stop_word()
    stop.set()
    with pytest.raises(ComputeStopped):
        stage.device.run(long.program, stop)
    assert not long.has(long.begun)
    small.assert_right(stage)


def test_a_long_run_is_stopped_in_the_middle(device: CpuDevice, stage: Stage, small: Small, long: Long) -> None:
    for _ in range(2):
        run = Run(device, long.program)
        until_begun(long, run)
        run.stop.set()
        run.assert_stopped()
        assert not long.has(long.ended)
        small.assert_right(stage)


def test_a_run_behind_another_is_stopped_as_well(device: CpuDevice, stage: Stage, small: Small, long: Long) -> None:
    first = Run(device, long.program)
    until_begun(long, first)
    second = Run(device, small.program)
    second.stop.set()
    first.stop.set()
    first.assert_stopped()
    second.assert_stopped()
    small.assert_right(stage)


def test_the_stop_word_of_one_run_is_not_that_of_another(
    device: CpuDevice, stage: Stage, small: Small, long: Long
) -> None:
    run = Run(device, long.program)
    until_begun(long, run)
    device.new_stop_word().set()
    run.join(0.0)
    assert run.is_alive()
    run.stop.set()
    run.assert_stopped()
    small.assert_right(stage)
