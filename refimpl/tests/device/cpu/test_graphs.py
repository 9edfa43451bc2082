"""Whatever graph the rules let through is computed as the oracle defines it, or refused by name.

Where an operand shares part of its bytes with the result, several results are right; of those nothing is asked but
that they stay in their place.
"""

import threading
from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings

from refimpl.device.cpu import CpuDevice, lower
from refimpl.errors import ProtocolError, UnsupportedError
from refimpl.graph.define import GraphBuilder
from refimpl.kernels import contract
from refimpl.kernels.blocks.registry import FORMATS
from refimpl.kernels.cases.build import store
from refimpl.kernels.operand import Case, Operand
from refimpl.kernels.oracle.views import byte_index, shape
from refimpl.tests.device.cpu.stage import Stage, activations, nmse, random_blocks
from refimpl.tests.graph.mutations import LAYERS, mutated, mutations
from refimpl.tests.graph.samples import T, one_node
from refimpl.tests.graph.test_rules import FITS
from refimpl.tests.graph.test_rules_against_oracle import FEW, cases
from refimpl.tests.kernels.cpu_backend import run_case
from refimpl.tests.oracle_device import OracleDevice
from spec.names import Type

MUTABLE = ("ne", "nb", "src", "data", "op", "op_params")
TYPES = (Type.F32, Type.F16, Type.Q4_0, Type.Q8_0, Type.I32)
THREADS = 2


@pytest.fixture(scope="module", autouse=True)
def _all_threads_take_part() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lower, "SMALL", 0)
        yield


def sources(case: Case) -> list[Operand]:
    return [source for source in case.srcs if source]


def span(operand: Operand) -> tuple[int, int]:
    index = byte_index(operand)
    return int(index.min()), int(index.max()) + 1


def fill(operand: Operand, rng: np.random.Generator) -> None:
    """Small numbers, and indices that most tables have."""
    if operand.type in (Type.I32, Type.I64):
        store(operand, rng.integers(0, 3, shape(operand)))
    elif FORMATS[operand.type].block == 1:
        store(operand, rng.standard_normal(shape(operand)))
    else:
        index = byte_index(operand)
        blocks = random_blocks(0, operand.type, (FORMATS[operand.type].block, index[..., 0].size))
        operand.data[index] = np.frombuffer(blocks, np.uint8).reshape(index.shape)


def has_one_meaning(case: Case) -> bool:
    first, last = span(case.dst)
    sharing = [one for one in sources(case) if span(one)[0] < last and first < span(one)[1]]
    place = (case.dst.offset, case.dst.type, case.dst.ne, case.dst.nb)
    return all((one.offset, one.type, one.ne, one.nb) == place for one in sharing)


def is_small(case: Case) -> bool:
    operands = [case.dst, *sources(case)]
    return all(np.prod(np.array(one.ne, float)) <= FEW and one.type in FORMATS for one in operands)


def assert_computed_or_refused(case: Case) -> str:
    """What came of it."""
    for number, operand in enumerate(sources(case)):
        fill(operand, np.random.default_rng(number))
    try:
        with np.errstate(all="ignore"):
            contract.check(run_case, case, THREADS)
    except UnsupportedError:
        return "refused"
    except IndexError:
        contract.check_fault(run_case, case, THREADS)
        return "faulty"
    except NotImplementedError:
        with pytest.raises(UnsupportedError):
            run_case(contract.guarded(case), THREADS)
        return "refused"
    except contract.ContractViolation as violation:
        if has_one_meaning(case) or "outside dst" in str(violation):
            raise
        return "of many meanings"
    return "computed"


@pytest.mark.parametrize("name", FITS)
def test_operands_of_any_type_are_computed_or_refused(name: str) -> None:
    node, outcomes = FITS[name], []
    given = [source for source in node.srcs[:2] if source]
    for types in product(TYPES, repeat=len(given)):
        srcs = [*(T(type_, source.ne) for type_, source in zip(types, given, strict=True)), *node.srcs[len(given) :]]
        dst = node.dst if node.alias is None else T(srcs[node.alias].type, node.dst.ne)  # type: ignore[union-attr]
        try:
            sample = one_node(node.op, dst, srcs, node.params, node.alias)
            graph = sample.build()
        except (ProtocolError, ValueError):
            continue
        outcomes += [assert_computed_or_refused(case) for case in cases(sample, graph)]
    assert outcomes


@settings(max_examples=500)
@given(mutations(MUTABLE))
def test_a_graph_with_one_changed_field_is_computed_or_refused(mutation: tuple[bool, int, str, int, int]) -> None:
    sample = mutated(*mutation)
    flash, record, *_ = mutation
    try:
        graph = sample.build()
    except ProtocolError:
        return
    identity = LAYERS[flash].records[record]["id"]
    for node, case in zip(graph.nodes.tolist(), cases(sample, graph), strict=True):
        if is_small(case) and (node == record or identity in sample.records[node]["src"]):
            assert_computed_or_refused(case)


@pytest.mark.parametrize("flash", [True, False], ids=["flash attention", "attention in steps"])
def test_a_layer_is_what_the_oracle_makes_of_it_run_after_run(device: CpuDevice, flash: bool) -> None:
    sample = LAYERS[flash]
    graph = sample.build()
    sizes = dict(zip(sample.buffers.handles.tolist(), sample.buffers.sizes.tolist(), strict=True))
    ours, theirs = Stage(device), Stage(OracleDevice())
    content = np.random.default_rng(5)
    for stage in (ours, theirs):
        stage.memory.update({handle: stage.device.allocate(sizes[handle]) for handle in graph.handles})
    for index in np.flatnonzero(graph.tensors.op == 0).tolist():
        table = graph.tensors
        operand = Operand(
            np.zeros(int(table.nbytes[index]), np.uint8),
            Type(int(table.type[index])),
            tuple(table.ne[index].tolist()),
            tuple(table.nb[index].tolist()),
        )
        fill(operand, content)
        for stage in (ours, theirs):
            allocation = stage.memory[graph.handles[int(table.buffer[index])]]
            stage.device.writable(allocation, int(table.offset[index]), operand.data.size)[:] = operand.data.data
    programs = [stage.device.compile(graph, stage.memory) for stage in (ours, theirs)]
    result = sample.index("result")
    for _ in range(2):
        got = []
        for stage, program in zip((ours, theirs), programs, strict=True):
            stage.run(program)
            allocation = stage.memory[graph.handles[int(graph.tensors.buffer[result])]]
            start, size = int(graph.tensors.offset[result]), int(graph.tensors.nbytes[result])
            got.append(np.frombuffer(bytes(stage.device.read(allocation, start, size)), np.float32))
        assert nmse(got[0], got[1]) < 1e-3
    for allocation in ours.memory.values():
        device.release(allocation)


def test_programs_of_several_threads_take_turns_and_are_all_right(device: CpuDevice) -> None:
    begin, wrong = threading.Barrier(3), []

    def run_often(seed: int) -> None:
        stage, b = Stage(device), GraphBuilder()
        w, x = b.leaf("w", Type.Q8_0, (64, 32)), b.leaf("x", Type.F32, (64, 3))
        y = b.output(b.mul_mat(w, x))
        stage.lay(b, w, x)
        stage.write(b, w, random_blocks(seed, Type.Q8_0, (64, 32)))
        stage.write(b, x, activations(seed, 3, 64))
        stage.plan(b)
        oracle = stage.twin()
        oracle.run(oracle.compile(b))
        program, expected = stage.compile(b), oracle.floats(b, y)
        begin.wait()
        for _ in range(100):
            stage.run(program)
            if not nmse(stage.floats(b, y), expected) < 1e-6:
                wrong.append(seed)

    threads = [threading.Thread(target=run_often, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
