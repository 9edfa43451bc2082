"""Values at which servers go wrong, by what a field means: edges of the field, of the tensor, and of the buffer.

The list for a field begins with the mildest.
"""

import struct
from collections.abc import Sequence

from conformance.fuzz.make.scene import Scene, span_of
from conformance.fuzz.request import Record, Ref
from spec.dialect import FieldDef

__all__ = ["odd_values"]

TOP32, TOP64 = 1 << 32, 1 << 64
SIGN32, SIGN64 = 1 << 31, 1 << 63
PLAIN = (0, 1, 2, 3, 255, 256, SIGN32 - 1, SIGN32, TOP32 - 1, TOP32, SIGN64 - 1, SIGN64, TOP64 - 1)
FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-45, 1e30, float("inf"), float("-inf"), float("nan"))
FLOAT_BITS = tuple(struct.unpack("<I", struct.pack("<f", each))[0] for each in FLOATS)
EXTENTS = (0, 1, 2, 3, 32, 255, 256, 1 << 15, 1 << 16, 1 << 20, SIGN32 - 1, SIGN32, TOP32 - 1)
STEPS = (0, 1, 2, 3, 4, 1 << 16, SIGN32, TOP32 - 4, TOP32 - 1)
FLAGS = (0, 1, 2, 4, 8, 16, 18, 32, SIGN32, TOP32 - 1)

Value = int | Ref


def odd_values(scene: Scene, field: FieldDef, now: Value, record: Record | None) -> Sequence[Value]:
    """What to say instead of `now`; record: the tensor that the field belongs to, or that the command is about."""
    near = [] if isinstance(now, Ref) else [now + 1, now - 1, 2 * now, now ^ SIGN32]
    match field.unit:
        case "handle":
            return _handles(scene, now)
        case "address":
            return _addresses(scene, now, record)
        case "type number":
            return [*scene.dialect.types, *scene.dialect.withdrawn, *_behind(len(scene.dialect.types) + 4)]
        case "op number":
            return [*range(len(scene.dialect.ops)), *_behind(len(scene.dialect.ops))]
        case "device index":
            return [scene.session.world.devices, *PLAIN[:-4]]
        case "elements":
            return [*near, *EXTENTS]
        case "bit set":
            return FLAGS
        case "words":
            return [*near, *PLAIN[:9], *FLOAT_BITS]
    if field.name == "nb":
        return [*near, *STEPS]
    return [*near, *_around(_span(scene, record)), *PLAIN]


def _behind(count: int) -> list[int]:
    return [count, count + 1, 255, SIGN32, TOP32 - 1]


def _around(size: int) -> list[int]:
    return [size, size + 1, max(size - 1, 0), TOP64 - size, (TOP64 - size + 1) % TOP64] if size else []


def _span(scene: Scene, record: Record | None) -> int:
    """The byte size of a record; 0 where it has none."""
    if record is None:
        return 0
    kind = scene.dialect.types.get(_plain(record.get("type", 0)))
    ne, nb = record.get("ne"), record.get("nb")
    return span_of(kind, ne, nb) if kind and isinstance(ne, tuple) and isinstance(nb, tuple) else 0


def _plain(value: object) -> int:
    return value if isinstance(value, int) else 0


def _handles(scene: Scene, now: Value) -> list[Value]:
    """Of another buffer, a freed one, somebody else's, and numbers that are none."""
    mine = [Ref(held.name) for held in scene.session.live()]
    freed = [Ref(name) for name in scene.freed]
    others = [Ref(name) for name in scene.strangers]
    beside: list[Value] = [Ref(now.buffer, add=1), Ref(now.buffer, add=-64)] if isinstance(now, Ref) else []
    return [*freed, *others, *mine, *beside, 0, 1, TOP64 - 1]


def _addresses(scene: Scene, now: Value, record: Record | None) -> list[Value]:
    """Around both ends of the buffer, in another one, and where nobody has memory."""
    if not isinstance(now, Ref):
        return [0, 1, SIGN64, TOP64 - 1, *(Ref(held.name, base=True) for held in scene.buffers)]
    place, span = scene.session.places.get(now.buffer), _span(scene, record)
    size = place.size if place is not None else 0
    edges = (size - span, size - span + 1, size, size - 1, 0, -1, now.add + 1, now.add - 1, now.add + 4, SIGN64, -span)
    others = [Ref(held.name, base=True) for held in scene.buffers if held.name != now.buffer]
    return [*(Ref(now.buffer, base=True, add=edge) for edge in edges), *others, 0, 1, SIGN64, TOP64 - 1]
