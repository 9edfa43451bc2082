"""Cases of ROPE: both pairings, partial widths, YaRN, frequency factors, views, in place."""

from collections.abc import Iterator

import attrs
import numpy as np

from refimpl.kernels.cases.build import AS_IS, Extents, Layout, dim, empty, full, normal, store, whole
from refimpl.kernels.operand import Case, Operand
from spec.names import Op, RopeMode, Type

__all__ = ["positions"]

LAST_POSITION = 1000  # the tolerance table counts on it


def _words(n_dims: int, mode: RopeMode, **other: float) -> dict[int, int | float]:
    """op_params of a plain rotation of `n_dims` channels, with `other` fields by name."""
    fields: dict[str, int | float] = {"n_ctx_orig": 2048, "freq_base": 10000.0, "freq_scale": 1.0, "ext_factor": 0.0}
    fields |= {"attn_factor": 1.0, "beta_fast": 32.0, "beta_slow": 1.0, "n_offs": 0} | other
    at = {
        "n_ctx_orig": 4,
        "freq_base": 5,
        "freq_scale": 6,
        "ext_factor": 7,
        "attn_factor": 8,
        "beta_fast": 9,
        "beta_slow": 10,
    }
    at["n_offs"] = 15
    return {1: n_dims, 2: int(mode)} | {at[name]: value for name, value in fields.items()}


def positions(rng: np.random.Generator) -> Iterator[Case]:
    """All of them."""
    for mode in (RopeMode.NORMAL, RopeMode.NEOX):
        for type_ in (Type.F32, Type.F16):
            yield from _shapes(rng, mode, type_)
        yield from _variants(rng, mode)
        yield from _views(rng, mode)


def _tokens(rng: np.random.Generator, count: int) -> Operand:
    return whole(rng, Type.I32, dim(count), LAST_POSITION)


def _shapes(rng: np.random.Generator, mode: RopeMode, type_: Type) -> Iterator[Case]:
    name = f"{mode.name} {type_.name}"
    for ne in (
        dim(64, 9, 1),
        dim(64, 3, 7),
        dim(32, 1, 33),
        dim(128, 2, 2),
        dim(80, 3, 5),
        dim(64, 2, 3, 2),
        dim(64, 3, 0),
    ):
        srcs = normal(rng, type_, ne), _tokens(rng, ne[2])
        yield full(Op.ROPE, f"{name} {ne}", srcs, empty(type_, ne), _words(ne[0], mode))


def _rotation(
    label: str, rng: np.random.Generator, ne: Extents, params: dict[int, int | float], factors: Operand | None = None
) -> Case:
    srcs = normal(rng, Type.F32, ne), _tokens(rng, ne[2]), factors
    return full(Op.ROPE, label, srcs, empty(Type.F32, ne), params)


def _variants(rng: np.random.Generator, mode: RopeMode) -> Iterator[Case]:
    name, ne = mode.name, dim(96, 3, 5)
    yield _rotation(f"{name} first 32 channels", rng, ne, _words(32, mode))
    yield _rotation(f"{name} channels 40 to 71", rng, ne, _words(32, mode, n_offs=40))
    yield _rotation(f"{name} another base", rng, ne, _words(96, mode, freq_base=500000.0))
    yield _rotation(f"{name} linear scaling", rng, ne, _words(96, mode, freq_scale=0.25))
    yield _rotation(f"{name} magnitude", rng, ne, _words(96, mode, attn_factor=1.3))
    yarn = {"freq_scale": 0.125, "ext_factor": 1.0, "n_ctx_orig": 256}
    yield _rotation(f"{name} YaRN", rng, ne, _words(96, mode, **yarn))
    yield _rotation(f"{name} YaRN without a context", rng, ne, _words(96, mode, **(yarn | {"n_ctx_orig": 0})))
    yield _rotation(
        f"{name} YaRN, half mixed", rng, ne, _words(96, mode, **(yarn | {"ext_factor": 0.5, "attn_factor": 0.9}))
    )
    factors = store(empty(Type.F32, dim(48)), rng.uniform(1, 8, (1, 1, 1, 48)))
    yield _rotation(f"{name} frequency factors", rng, ne, _words(96, mode), factors)
    yield _rotation(f"{name} frequency factors and YaRN", rng, ne, _words(96, mode, **yarn), factors)
    zero = store(empty(Type.I32, dim(4)), np.zeros((1, 1, 1, 4), np.int64))
    still = normal(rng, Type.F32, dim(64, 2, 4))
    yield full(Op.ROPE, f"{name} position 0", (still, zero), empty(Type.F32, still.ne), _words(64, mode))
    back = store(empty(Type.I32, dim(4)), np.array([-1, -700, 3, 0]).reshape(1, 1, 1, 4))
    yield full(Op.ROPE, f"{name} negative positions", (still, back), empty(Type.F32, still.ne), _words(64, mode))


def _views(rng: np.random.Generator, mode: RopeMode) -> Iterator[Case]:
    name, ne = mode.name, dim(64, 3, 6)
    for type_ in (Type.F32, Type.F16):
        gaps = normal(rng, type_, ne, Layout(slack=10, lead=1))
        yield full(
            Op.ROPE, f"{name} heads with gaps", (gaps, _tokens(rng, 6)), empty(type_, ne, AS_IS), _words(64, mode)
        )
        later = Layout(order=(0, 2, 1, 3))
        yield full(
            Op.ROPE,
            f"{name} tokens before heads",
            (normal(rng, type_, ne, later), _tokens(rng, 6)),
            empty(type_, ne),
            _words(64, mode),
        )
        place = normal(rng, type_, ne, Layout(slack=8))
        yield full(
            Op.ROPE, f"{name} in place in a cache", (place, _tokens(rng, 6)), attrs.evolve(place), _words(48, mode)
        )
    row = normal(rng, Type.F32, dim(5 * 64, 6))
    queries = attrs.evolve(row, ne=ne, nb=(4, 4 * 64, row.nb[1], row.nb[2]), offset=64 * 4)
    yield full(
        Op.ROPE,
        f"{name} heads 1 to 3 of a fused row",
        (queries, _tokens(rng, 6)),
        empty(Type.F32, ne),
        _words(64, mode),
    )
