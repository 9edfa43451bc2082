"""One field of a record or a request said otherwise: what all mutators of fields share."""

from collections.abc import Mapping, Sequence
from typing import cast

from conformance.fuzz.make.scene import Scene
from conformance.fuzz.make.source import Source, between, pick, seldom
from conformance.fuzz.make.values import odd_values
from conformance.fuzz.request import Field, Record, Ref
from spec.dialect import FieldDef, StructDef

__all__ = ["changed", "harmless", "shown"]

SIGN64, TOP64 = 1 << 63, 1 << 64
NAME_BYTES = 64
ID_STEP = 16


def shown(value: Field) -> str:
    """A value for people."""
    if isinstance(value, Ref):
        name = f"{'base' if value.base else 'handle'} of {value.buffer}"
        return f"{name} {value.add:+d}" if value.add else name
    return hex(value) if isinstance(value, int) and value > 0xFFFF else str(value)


def changed(
    source: Source,
    scene: Scene,
    struct: StructDef,
    fields: Mapping[str, Field],
    names: Sequence[str],
    about: Record | None,
) -> tuple[dict[str, Field], str]:
    """One of the fields, or one number of it, said otherwise."""
    field = struct.field(pick(source, names))
    now = fields.get(field.name, (0,) * field.count if field.count > 1 else 0)
    if isinstance(now, tuple):
        run: list[int | Ref] = list(cast(tuple[int, ...], now))
        at = source.below(len(run))
        run[at] = _other(source, scene, field, run[at], about)
        return {
            **fields,
            field.name: cast(tuple[int, ...], tuple(run)),
        }, f"{field.name}[{at}] {shown(now[at])} > {shown(run[at])}"
    other = _other(source, scene, field, cast(int | Ref, now), about)
    return {**fields, field.name: other}, f"{field.name} {shown(now)} > {shown(other)}"


def _other(source: Source, scene: Scene, field: FieldDef, now: int | Ref, about: Record | None) -> int | Ref:
    if field.unit == "tensor id":
        return between(source, 0, 6) * ID_STEP if not seldom(source) else pick(source, (1, 7, SIGN64, TOP64 - 1))
    return pick(source, odd_values(scene, field, now, about))


def harmless(source: Source) -> dict[str, Field]:
    """Fields that a server ignores: TENSOR-12 to TENSOR-14."""
    return {"name": source.data(NAME_BYTES), "use_count": source.below(3), "view_offs": source.below(1 << 20)}
