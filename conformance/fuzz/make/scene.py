"""What a maker of requests sees of the session that they are for, and tensors that lie well in its buffers."""

from collections.abc import Sequence

import attrs

from conformance.fuzz.make.source import Source, between, often, pick, seldom
from conformance.fuzz.model.memory import Held
from conformance.fuzz.model.session import Session
from conformance.fuzz.request import Ref
from spec.dialect import Dialect, TypeDef

__all__ = ["ALIGNMENT", "DIMENSIONS", "Laid", "Scene", "laid", "packed", "span_of"]

ALIGNMENT = 64
DIMENSIONS = 4
SMALL_BLOCKS = 4
PADDINGS = (0, 32, 4)
PLAIN = ("I8", "F32", "F32", "F16", "I32", "I64")

Quad = tuple[int, int, int, int]


@attrs.frozen(eq=False)
class Scene:
    """A session; strangers: names of buffers of other connections."""

    session: Session
    strangers: tuple[str, ...] = ()

    @property
    def dialect(self) -> Dialect:
        """Of the session."""
        return self.session.world.dialect

    @property
    def buffers(self) -> list[Held]:
        """Live buffers that can hold a tensor."""
        return [held for held in self.session.live() if held.size and held.base is not None and held.modelled]

    @property
    def freed(self) -> list[str]:
        """Names of buffers that were freed."""
        live = {held.name for held in self.session.live()}
        return [name for name, place in self.session.places.items() if name not in live and place.handle]


@attrs.frozen(kw_only=True)
class Laid:
    """A tensor in a buffer, from byte `begin` on."""

    kind: TypeDef
    ne: Quad
    nb: Quad
    held: str
    begin: int
    span: int

    def record(self, id_: int = 1) -> dict[str, int | Ref | tuple[int, ...] | bytes]:
        """Its record as a leaf."""
        return {
            "id": id_,
            "type": self.kind.number,
            "buffer": Ref(self.held),
            "ne": self.ne,
            "nb": self.nb,
            "data": Ref(self.held, base=True, add=self.begin),
        }


def packed(kind: TypeDef, ne: Sequence[int], padding: int = 0) -> Quad:
    """Strides without gaps, or with some bytes behind every row."""
    first = kind.bytes * -(-ne[0] // kind.block) + padding
    return kind.bytes, first, first * max(ne[1], 1), first * max(ne[1], 1) * max(ne[2], 1)


def span_of(kind: TypeDef, ne: Sequence[int], nb: Sequence[int]) -> int:
    """TENSOR-4."""
    if 0 in ne:
        return 0
    row = kind.bytes + (ne[0] - 1) * nb[0] if kind.block == 1 else ne[0] * nb[0] // kind.block
    return row + sum((ne[dim] - 1) * nb[dim] for dim in (1, 2, 3))


def laid(source: Source, scene: Scene) -> Laid | None:
    """Any tensor in any buffer; None where there is no buffer."""
    if not scene.buffers:
        return None
    held = pick(source, scene.buffers)
    kind = _kind(source, scene)
    extents = [kind.block * between(source, 1, SMALL_BLOCKS)]
    extents += [between(source, 1, 3) if often(source) else 1 for _ in range(1, DIMENSIONS)]
    if seldom(source):
        extents[source.below(DIMENSIONS)] = 0
    ne: Quad = (extents[0], extents[1], extents[2], extents[3])
    padding = pick(source, PADDINGS)
    nb = packed(kind, ne, padding if padding % kind.bytes == 0 else 0)
    span = span_of(kind, ne, nb)
    if span > held.size:
        kind, ne = scene.dialect.type("I8"), (held.size, 1, 1, 1)
        nb, span = packed(kind, ne), held.size
    begin = source.below((held.size - span) // ALIGNMENT + 1) * ALIGNMENT
    if seldom(source):
        begin = held.size - span
    return Laid(kind=kind, ne=ne, nb=nb, held=held.name, begin=begin, span=span)


def _kind(source: Source, scene: Scene) -> TypeDef:
    if seldom(source):
        return pick(source, list(scene.dialect.types.values()))
    return scene.dialect.type(pick(source, PLAIN))
