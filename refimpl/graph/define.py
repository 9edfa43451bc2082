"""Building a graph: one method for each op that a model's graph uses, with ggml's meaning of shapes and parameters.

    b = GraphBuilder()
    x = b.leaf("inp", Type.F32, (576, n))
    w = b.leaf("blk.0.attn_q.weight", Type.Q4_1, (576, 576))
    y = b.output(b.mul_mat(w, b.rms_norm(x, 1e-5)))
    b.place(x, inputs.handle, inputs.base); b.place(w, weights.handle, weights.base)
    need = b.plan_memory(device.alignment)
    b.place_intermediates(scratch.handle, scratch.base)
    nodes, records = b.message()

Shapes are written fastest dimension first, as everywhere in ggml: `W (k, m) x X (k, n) -> (m, n)`. Every method returns
a new tensor and raises ValueError where the operands do not fit together. Views and permutations cost nothing in a run.
"""

from collections.abc import Sequence

import attrs

from refimpl.graph.assemble import Assembler, Layout, Tensor, shape_of
from refimpl.graph.layout import natural_strides
from refimpl.graph.params import float_bits, u64_words
from refimpl.wire.tensor import GGML_MAX_DIMS
from spec.names import Glu, Op, Prec, RopeMode, Type, Unary

__all__ = ["GraphBuilder", "Rope", "Tensor"]


@attrs.frozen(kw_only=True)
class Rope:
    """Parameters of ROPE that are the same for a whole model."""

    n_dims: int
    """channels of each head that are rotated, from the first"""
    mode: RopeMode = RopeMode.NORMAL
    n_ctx_orig: int = 0
    freq_base: float = 10000.0
    freq_scale: float = 1.0
    ext_factor: float = 0.0
    attn_factor: float = 1.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0

    def params(self) -> tuple[int, ...]:
        """op_params words 0 to 10; the sections that follow are 0."""
        floats = (self.freq_base, self.freq_scale, self.ext_factor, self.attn_factor, self.beta_fast, self.beta_slow)
        return (0, self.n_dims, int(self.mode), 0, self.n_ctx_orig, *map(float_bits, floats))


def _need(condition: bool, what: str, *operands: Tensor) -> None:
    if not condition:
        raise ValueError(f"{what}: " + ", ".join(f"{operand.type.name} {list(operand.ne)}" for operand in operands))


def _repeats(small: Tensor, large: Tensor) -> bool:
    """Whether `small` fills `large` when it is repeated along each dimension."""
    return all(mine and not theirs % mine for mine, theirs in zip(small.ne, large.ne, strict=True))


class GraphBuilder(Assembler):
    """A graph under construction; see the module for an example."""

    def reshape(self, x: Tensor, ne: Sequence[int]) -> Tensor:
        """The elements of a contiguous `x` under another shape."""
        shape = shape_of(ne)
        _need(x.contiguous and x.elements == shape[0] * shape[1] * shape[2] * shape[3], f"reshape to {list(shape)}", x)
        return self._view(Op.RESHAPE, x, Layout(shape, natural_strides(x.type, shape)))

    def view(self, x: Tensor, ne: Sequence[int], strides: Sequence[int] = (), offset: int = 0) -> Tensor:
        """A window into `x` from byte `offset`.

        `strides` are nb[1], nb[2], nb[3] in bytes; those left out follow without gaps.
        """
        shape = shape_of(ne)
        nb = list(natural_strides(x.type, shape))
        for dim in range(1, GGML_MAX_DIMS):
            nb[dim] = strides[dim - 1] if dim <= len(strides) else nb[dim] if dim == 1 else nb[dim - 1] * shape[dim - 1]
        layout = Layout(shape, (nb[0], nb[1], nb[2], nb[3]), offset)
        return self._view(Op.VIEW, x, layout, params=u64_words(offset))

    def permute(self, x: Tensor, axes: tuple[int, int, int, int]) -> Tensor:
        """Dimension i of `x` becomes dimension axes[i] of the result."""
        _need(sorted(axes) == [0, 1, 2, 3], f"permute by {axes}", x)
        back = [axes.index(dim) for dim in range(GGML_MAX_DIMS)]
        ne = shape_of([x.ne[dim] for dim in back])
        nb = shape_of([x.nb[dim] for dim in back])
        return self._view(Op.PERMUTE, x, Layout(ne, nb), params=axes)

    def transpose(self, x: Tensor) -> Tensor:
        """Dimensions 0 and 1 exchanged."""
        ne, nb = x.ne, x.nb
        return self._view(Op.TRANSPOSE, x, Layout((ne[1], ne[0], ne[2], ne[3]), (nb[1], nb[0], nb[2], nb[3])))

    def dup(self, x: Tensor) -> Tensor:
        """A contiguous copy."""
        return self._result(Op.DUP, x.type, x.ne, (x,))

    def cont(self, x: Tensor, ne: Sequence[int] | None = None) -> Tensor:
        """A contiguous copy, in logical order, under the shape `ne` if given."""
        shape = shape_of(x.ne if ne is None else ne)
        _need(x.elements == shape[0] * shape[1] * shape[2] * shape[3], f"cont to {list(shape)}", x)
        return self._result(Op.CONT, x.type, shape, (x,))

    def cpy(self, x: Tensor, target: Tensor) -> Tensor:
        """Copy `x`, converted, over `target` in logical order; returns a view that is `target` after the copy."""
        _need(x.elements == target.elements, "cpy needs as many elements", x, target)
        return self._view(Op.CPY, target, Layout(target.ne, target.nb), (x, target))

    def cast(self, x: Tensor, type: Type) -> Tensor:
        """A contiguous copy, converted."""
        return self._result(Op.CPY, type, x.ne, (x,), cast=True)

    def get_rows(self, table: Tensor, indices: Tensor) -> Tensor:
        """`table (k, rows, b2, b3)[indices (n, b2, b3)] -> (k, n, b2, b3)`, as F32 (I32 from I32)."""
        fits = table.ne[2:] == indices.ne[1:3] and indices.ne[3] == 1 and indices.type == Type.I32
        _need(fits, "get_rows", table, indices)
        kind = Type.I32 if table.type == Type.I32 else Type.F32
        return self._result(Op.GET_ROWS, kind, (table.ne[0], *indices.ne[:3]), (table, indices))

    def set_rows(self, target: Tensor, rows: Tensor, indices: Tensor) -> Tensor:
        """Row i of `rows (k, n, b2, b3)` becomes, converted, row indices[i] of `target (k, m, b2, b3)`.

        indices (n, d1, d2) is repeated along b2 and b3. Returns a view that is `target` afterwards.
        """
        fits = target.ne[0] == rows.ne[0] and target.ne[2:] == rows.ne[2:] and indices.ne[0] == rows.ne[1]
        fits = fits and all(
            small and not large % small for large, small in zip(rows.ne[2:], indices.ne[1:3], strict=True)
        )
        _need(fits and indices.type in (Type.I32, Type.I64), "set_rows", target, rows, indices)
        return self._view(Op.SET_ROWS, target, Layout(target.ne, target.nb), (rows, indices, target))

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """x + y, y repeated to the shape of x."""
        _need(_repeats(y, x), "add", x, y)
        return self._result(Op.ADD, x.type, x.ne, (x, y))

    def mul(self, x: Tensor, y: Tensor) -> Tensor:
        """x * y element by element, y repeated to the shape of x."""
        _need(_repeats(y, x), "mul", x, y)
        return self._result(Op.MUL, x.type, x.ne, (x, y))

    def sub(self, x: Tensor, y: Tensor) -> Tensor:
        """x - y, y repeated to the shape of x."""
        _need(_repeats(y, x), "sub", x, y)
        return self._result(Op.SUB, x.type, x.ne, (x, y))

    def div(self, x: Tensor, y: Tensor) -> Tensor:
        """x / y element by element, y repeated to the shape of x."""
        _need(_repeats(y, x), "div", x, y)
        return self._result(Op.DIV, x.type, x.ne, (x, y))

    def add_id(self, x: Tensor, rows: Tensor, ids: Tensor) -> Tensor:
        """`x (n, u, t) + rows (n, m)[ids (u, t)] -> (n, u, t)`: to each row the one that its id names."""
        fits = rows.ne[0] == x.ne[0] and ids.type == Type.I32 and (*ids.ne[:2], 1) == x.ne[1:]
        _need(fits, "add_id", x, rows, ids)
        return self._result(Op.ADD_ID, x.type, x.ne, (x, rows, ids))

    def scale(self, x: Tensor, factor: float, bias: float = 0.0) -> Tensor:
        """factor * x + bias."""
        return self._result(Op.SCALE, x.type, x.ne, (x,), (float_bits(factor), float_bits(bias)))

    def rms_norm(self, x: Tensor, eps: float) -> Tensor:
        """Each row divided by sqrt(mean of its squares + eps)."""
        return self._result(Op.RMS_NORM, x.type, x.ne, (x,), (float_bits(eps),))

    def norm(self, x: Tensor, eps: float) -> Tensor:
        """Each row less its mean, divided by sqrt(variance + eps)."""
        return self._result(Op.NORM, x.type, x.ne, (x,), (float_bits(eps),))

    def l2_norm(self, x: Tensor, eps: float) -> Tensor:
        """Each row divided by its length, which is taken to be at least eps."""
        return self._result(Op.L2_NORM, x.type, x.ne, (x,), (float_bits(eps),))

    def sum_rows(self, x: Tensor) -> Tensor:
        """`x (n, ...) -> (1, ...)`: the sum of each row."""
        return self._result(Op.SUM_ROWS, x.type, (1, *x.ne[1:]), (x,))

    def sqr(self, x: Tensor) -> Tensor:
        """x * x element by element."""
        return self._result(Op.SQR, x.type, x.ne, (x,))

    def sqrt(self, x: Tensor) -> Tensor:
        """The square root of each element."""
        return self._result(Op.SQRT, x.type, x.ne, (x,))

    def clamp(self, x: Tensor, least: float, most: float) -> Tensor:
        """Each element brought between two bounds."""
        return self._result(Op.CLAMP, x.type, x.ne, (x,), (float_bits(least), float_bits(most)))

    def fill(self, x: Tensor, value: float) -> Tensor:
        """One value in the shape of x."""
        return self._result(Op.FILL, x.type, x.ne, (x,), (float_bits(value),))

    def unary(self, kind: Unary, x: Tensor) -> Tensor:
        """A function of each element. XIELU, which has parameters, is not among them."""
        _need(kind != Unary.XIELU, f"unary {kind.name}", x)
        return self._result(Op.UNARY, x.type, x.ne, (x,), (int(kind),))

    def concat(self, x: Tensor, y: Tensor, dim: int) -> Tensor:
        """x followed by y along dimension `dim`."""
        others = [d for d in range(GGML_MAX_DIMS) if d != dim]
        fits = 0 <= dim < GGML_MAX_DIMS and x.type == y.type and all(x.ne[d] == y.ne[d] for d in others)
        _need(fits, f"concat along {dim}", x, y)
        ne = [x.ne[d] + (y.ne[d] if d == dim else 0) for d in range(GGML_MAX_DIMS)]
        return self._result(Op.CONCAT, x.type, ne, (x, y), (dim,))

    def repeat(self, x: Tensor, ne: Sequence[int]) -> Tensor:
        """x again and again until it has the shape `ne`."""
        shape = shape_of(ne)
        fits = all(small and not large % small for small, large in zip(x.ne, shape, strict=True))
        _need(fits, f"repeat to {list(shape)}", x)
        return self._result(Op.REPEAT, x.type, shape, (x,))

    def argsort(self, x: Tensor, falling: bool = False) -> Tensor:
        """`x (n, ...) F32 -> (n, ...) I32`: the indices that sort each row."""
        return self._result(Op.ARGSORT, Type.I32, x.ne, (x,), (int(falling),))

    def top_k(self, x: Tensor, k: int) -> Tensor:
        """`x (n, ...) F32 -> (k, ...) I32`: the indices of the k largest of each row, in any order."""
        _need(0 < k <= x.ne[0], f"top_k of {k}", x)
        return self._result(Op.TOP_K, Type.I32, (k, *x.ne[1:]), (x,))

    def mul_mat_id(self, w: Tensor, x: Tensor, ids: Tensor) -> Tensor:
        """`w (k, m, experts), x (k, r, t), ids (u, t) -> (m, u, t)`: slot (e, j) is w[ids[e, j]] x[e mod r, j]."""
        fits = w.ne[0] == x.ne[0] and ids.type == Type.I32 and x.ne[2] == ids.ne[1] and w.ne[3] == x.ne[3] == 1
        _need(fits and x.ne[1] > 0 and ids.ne[0] % x.ne[1] == 0, "mul_mat_id", w, x, ids)
        return self._result(Op.MUL_MAT_ID, Type.F32, (w.ne[1], *ids.ne[:2]), (w, x, ids))

    def mul_mat(self, w: Tensor, x: Tensor, prec: Prec = Prec.DEFAULT, hadamard: bool = False) -> Tensor:
        """`w (k, m, b2, b3), x (k, n, B2, B3) -> (m, n, B2, B3)` F32; B is a multiple of b (grouped heads).

        hadamard tells that w is a Hadamard matrix, which a device may know how to multiply faster.
        """
        fits = w.ne[0] == x.ne[0] and all(b and not B % b for b, B in zip(w.ne[2:], x.ne[2:], strict=True))
        _need(fits, "mul_mat", w, x)
        return self._result(Op.MUL_MAT, Type.F32, (w.ne[1], *x.ne[1:]), (w, x), (int(prec), int(hadamard)))

    def rope(self, x: Tensor, positions: Tensor, rope: Rope, freq_factors: Tensor | None = None) -> Tensor:
        """Rotate the channels of `x (head_dim, heads, n, b)` by `positions (n)` I32; freq_factors F32, one a pair."""
        _need(positions.type == Type.I32 and positions.ne[0] == x.ne[2], "rope", x, positions)
        _need(rope.n_dims % 2 == 0 and 0 < rope.n_dims <= x.ne[0], f"rope over {rope.n_dims} channels", x)
        return self._result(Op.ROPE, x.type, x.ne, (x, positions, freq_factors), rope.params())

    def soft_max(self, x: Tensor, mask: Tensor | None = None, scale: float = 1.0, max_bias: float = 0.0) -> Tensor:
        """Softmax of each row of scale * x + mask; mask (k, >= n, m2, m3) is repeated along heads and batches."""
        if mask is not None:
            fits = mask.ne[0] == x.ne[0] and mask.ne[1] >= x.ne[1]
            fits = fits and all(m and not b % m for m, b in zip(mask.ne[2:], x.ne[2:], strict=True))
            _need(fits, "soft_max", x, mask)
        return self._result(Op.SOFT_MAX, Type.F32, x.ne, (x, mask), (float_bits(scale), float_bits(max_bias)))

    def flash_attn_ext(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float) -> Tensor:
        """`q (d, n, heads, b), k (d, kv, kv_heads, b), v (dv, kv, kv_heads, b) -> (dv, heads, n, b)`.

        mask is F16 (kv, >= n, m2, m3), repeated along heads and batches.
        """
        fits = q.ne[0] == k.ne[0] and k.ne[1:] == v.ne[1:] and q.ne[3] == k.ne[3]
        _need(fits and k.ne[2] > 0 and q.ne[2] % k.ne[2] == 0, "flash_attn_ext", q, k, v)
        if mask is not None:
            fits = mask.type == Type.F16 and mask.ne[0] == k.ne[1] and mask.ne[1] >= q.ne[1]
            _need(fits, "flash_attn_ext", q, k, mask)
        params = (float_bits(scale), 0, 0, int(Prec.F32))
        return self._result(Op.FLASH_ATTN_EXT, Type.F32, (v.ne[0], q.ne[2], q.ne[1], q.ne[3]), (q, k, v, mask), params)

    def glu(self, kind: Glu, gate: Tensor, up: Tensor, alpha: float = 0.0, limit: float = 0.0) -> Tensor:
        """f(gate) * up; alpha is for SWIGLU_OAI, limit for that and SWIGLU_CLAMP."""
        _need(gate.ne == up.ne and gate.type == up.type, kind.name.lower(), gate, up)
        words = (int(kind), 0, float_bits(alpha), float_bits(limit))
        return self._result(Op.GLU, gate.type, gate.ne, (gate, up), words)

    def swiglu(self, gate: Tensor, up: Tensor) -> Tensor:
        """silu(gate) * up."""
        return self.glu(Glu.SWIGLU, gate, up)
