"""The oracle of elementary functions, sums, sorts and joins, and of products by expert, against results by hand."""

import math
from collections.abc import Mapping

import numpy as np
import pytest

from refimpl.kernels.cases.build import Extents, dim, empty, full, normal, store
from refimpl.kernels.operand import Operand
from refimpl.kernels.oracle.evaluate import evaluate
from refimpl.kernels.oracle.views import Values, reals
from spec.names import Glu, Op, Type, Unary

F32, F16, I32 = Type.F32, Type.F16, Type.I32


def of(values: object, type_: Type = F32) -> Operand:
    """A packed operand of nested lists, the innermost of which is dimension 0."""
    array = np.array(values)
    array = array.reshape((1,) * (4 - array.ndim) + array.shape)
    ne3, ne2, ne1, ne0 = array.shape
    return store(empty(type_, (ne0, ne1, ne2, ne3)), array)


def run(op: Op, *srcs: Operand, to: Extents, words: Mapping[int, int | float] | None = None) -> Values:
    type_ = srcs[0].type if srcs and srcs[0].type == F16 else F32
    return evaluate(full(op, "", srcs, empty(type_, to), words or {}))


BY_HAND: dict[Unary, list[tuple[float, float]]] = {
    Unary.ABS: [(-2, 2), (3, 3)],
    Unary.SGN: [(-2, -1), (0, 0), (3, 1)],
    Unary.NEG: [(-2, 2)],
    Unary.STEP: [(-2, 0), (0, 0), (0.1, 1)],
    Unary.TANH: [(0.5, math.tanh(0.5))],
    Unary.ELU: [(2, 2), (-1, math.exp(-1) - 1)],
    Unary.RELU: [(-2, 0), (2, 2)],
    Unary.SIGMOID: [(0, 0.5), (2, 1 / (1 + math.exp(-2)))],
    Unary.GELU: [(-11, 0), (11, 11), (1, 0.8411919906)],
    Unary.GELU_QUICK: [(1, 1 / (1 + math.exp(-1.702)))],
    Unary.SILU: [(2, 2 / (1 + math.exp(-2)))],
    Unary.HARDSWISH: [(-4, 0), (4, 4), (1, 2 / 3)],
    Unary.HARDSIGMOID: [(-4, 0), (4, 1), (0, 0.5)],
    Unary.EXP: [(1, math.e)],
    Unary.EXPM1: [(1, math.e - 1)],
    Unary.SOFTPLUS: [(25, 25), (0, math.log(2))],
    Unary.GELU_ERF: [(1, 0.5 * (1 + math.erf(1 / math.sqrt(2))))],
    Unary.XIELU: [(2, 0.5 * 4 + 0.25 * 2), (-2, (math.expm1(-2) + 2) * 0.75 + 0.25 * -2)],
    Unary.FLOOR: [(-1.5, -2), (1.5, 1)],
    Unary.CEIL: [(-1.5, -1), (1.5, 2)],
    Unary.ROUND: [(-2.5, -3), (2.5, 3), (2.4, 2)],
    Unary.TRUNC: [(-1.5, -1), (1.5, 1)],
}


def test_every_kind_is_worked_out_by_hand() -> None:
    assert set(BY_HAND) == set(Unary)


@pytest.mark.parametrize("kind", Unary, ids=lambda kind: kind.name)
def test_a_function_is_what_its_name_says(kind: Unary) -> None:
    words = {0: int(kind), 1: 0.75, 2: 0.5, 3: 0.25, 4: -1e-6}
    for x, y in BY_HAND[kind]:
        rounded = kind in (Unary.GELU, Unary.GELU_QUICK)
        out = run(Op.UNARY, of([x]), to=dim(1), words=words).item()
        assert out == pytest.approx(y, rel=1e-3 if rounded else 1e-7)
        assert not rounded or out == float(np.float16(out))


def test_a_half_is_rounded_once() -> None:
    x = of([1 / 3, 0.7], F16)
    assert run(Op.SQR, x, to=dim(2)).reshape(-1).tolist() == (reals(x) ** 2).astype(np.float16).reshape(-1).tolist()
    assert run(Op.FILL, x, to=dim(2), words={0: 0.1}).reshape(-1).tolist() == [float(np.float16(0.1))] * 2


@pytest.mark.parametrize(("op", "y"), [(Op.SQRT, 1.5), (Op.LOG, math.log(2.25)), (Op.SIN, math.sin(2.25))])
def test_single_functions(op: Op, y: float) -> None:
    assert run(op, of([2.25]), to=dim(1)).item() == pytest.approx(y)
    assert run(Op.COS, of([2.25]), to=dim(1)).item() == pytest.approx(math.cos(2.25))


def test_gates_with_parameters() -> None:
    gate, value = of([1.0, 9.0]), of([-9.0, 1.0])
    words = {2: 2.0, 3: 3.0}
    oai = run(Op.GLU, gate, value, to=dim(2), words={0: int(Glu.SWIGLU_OAI), **words}).reshape(-1)
    assert oai == pytest.approx([1 / (1 + math.exp(-2)) * -2, 3 / (1 + math.exp(-6)) * 2])
    clamp = run(Op.GLU, gate, value, to=dim(2), words={0: int(Glu.SWIGLU_CLAMP), **words}).reshape(-1)
    assert clamp == pytest.approx([1 / (1 + math.exp(-1)) * -3, 3 / (1 + math.exp(-3)) * 1])


@pytest.mark.parametrize(
    ("kind", "same"), [(Glu.REGLU, Unary.RELU), (Glu.GEGLU, Unary.GELU), (Glu.GEGLU_ERF, Unary.GELU_ERF)]
)
def test_gates_without_parameters_multiply_their_function(kind: Glu, same: Unary) -> None:
    gate, value = of([-1.5, 0.5]), of([2.0, 3.0])
    expected = run(Op.UNARY, gate, to=dim(2), words={0: int(same)}) * reals(value)
    np.testing.assert_allclose(run(Op.GLU, gate, value, to=dim(2), words={0: int(kind)}), expected)


def test_sums_means_and_norms() -> None:
    x = of([[1.0, 2, 6], [0, 4, -4]])
    assert run(Op.SUM, x, to=dim(1)).item() == 9
    assert run(Op.SUM_ROWS, x, to=dim(1, 2)).reshape(-1).tolist() == [9, 0]
    assert run(Op.MEAN, x, to=dim(1, 2)).reshape(-1).tolist() == [3, 0]
    assert run(Op.NORM, of([1.0, 3]), to=dim(2)).reshape(-1).tolist() == [-1, 1]
    assert run(Op.L2_NORM, of([3.0, 4]), to=dim(2)).reshape(-1) == pytest.approx([0.6, 0.8])
    assert run(Op.L2_NORM, of([3.0, 4]), to=dim(2), words={0: 10.0}).reshape(-1) == pytest.approx([0.3, 0.4])


def test_orders() -> None:
    x = of([3.0, -1, 2])
    assert run(Op.ARGSORT, x, to=dim(3)).reshape(-1).tolist() == [1, 2, 0]
    assert run(Op.ARGSORT, x, to=dim(3), words={0: 1}).reshape(-1).tolist() == [0, 2, 1]
    assert run(Op.TOP_K, x, to=dim(2)).reshape(-1).tolist() == [0, 2]


def test_joins() -> None:
    a, b = of([[1, 2], [3, 4]]), of([[5, 6]])
    assert run(Op.CONCAT, a, b, to=dim(2, 3), words={0: 1})[0, 0].tolist() == [[1, 2], [3, 4], [5, 6]]
    assert run(Op.REPEAT, b, to=dim(4, 2))[0, 0].tolist() == [[5, 6, 5, 6]] * 2
    assert run(Op.PAD, b, to=dim(4), words={0: 1, 1: 1}).reshape(-1).tolist() == [0, 5, 6, 0]
    assert run(Op.PAD, b, to=dim(5), words={0: 1, 1: 2, 8: 1}).reshape(-1).tolist() == [6, 5, 6, 5, 6]
    assert run(Op.ARANGE, to=dim(3), words={0: 2.0, 2: -0.5}).reshape(-1).tolist() == [2, 1.5, 1]
    assert run(Op.CLAMP, a, to=dim(2, 2), words={0: 2.0, 1: 3.0}).reshape(-1).tolist() == [2, 2, 3, 3]


def test_an_expert_is_a_matrix_of_its_own() -> None:
    rng = np.random.default_rng(3)
    weights, x, ids = normal(rng, F32, dim(5, 4, 3)), normal(rng, F32, dim(5, 1, 2)), of([[2, 0], [1, 2]], I32)
    out = run(Op.MUL_MAT_ID, weights, x, ids, to=dim(4, 2, 2))
    for token in range(2):
        for slot in range(2):
            expert = int(reals(ids)[0, 0, token, slot])
            np.testing.assert_allclose(out[0, token, slot], reals(weights)[0, expert] @ reals(x)[0, token, 0])
    table = of([[0.0] * 4, [10] * 4, [20] * 4])
    biased = run(Op.ADD_ID, store(empty(F32, dim(4, 2, 2)), out), table, ids, to=dim(4, 2, 2))
    np.testing.assert_allclose(biased[0, :, :, 0] - out[0, :, :, 0], [[20, 0], [10, 20]], atol=1e-5)


@pytest.mark.parametrize("op", [Op.ADD_ID, Op.MUL_MAT_ID])
def test_an_id_outside_is_an_index_error(op: Op) -> None:
    x, ids = of([[[1.0], [1.0]]]), of([[0, 3]], I32)
    table = of([[[1.0]]] * 3) if op == Op.MUL_MAT_ID else of([[1.0]] * 3)
    with pytest.raises(IndexError, match="row 3 of 3"):
        run(op, x if op == Op.ADD_ID else table, table if op == Op.ADD_ID else x, ids, to=dim(1, 2))
