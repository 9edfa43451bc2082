"""What becomes of a valid request when something in it is changed, with its structure in mind.

Every mutator answers another request with its words, or None where it has no hold on this one. Whether the outcome is
a violation is not known here: the model reads the bytes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from conformance.fuzz.make.changes import changed, harmless, shown
from conformance.fuzz.make.graph_mutate import GRAPH_MUTATORS, MILD_GRAPH_MUTATORS
from conformance.fuzz.make.scene import Scene
from conformance.fuzz.make.source import Source, pick, seldom
from conformance.fuzz.request import TENSOR, Record, Request
from spec.dialect import StructDef

__all__ = ["mildly", "mutated"]

Mutator = Callable[[Source, Scene, Request], Request | None]

SIGN64, TOP64 = 1 << 63, 1 << 64
INDICES = (-1, 1 << 31, (1 << 31) - 1, 64, 1 << 16)
UNDEFINED = (23, 24, 63, 127, 128, 200, 255)
CUTS = (1, 4, 8, 296, 297)
MOST = 3
"""changes of one request"""


def mutated(source: Source, scene: Scene, request: Request) -> Request:
    """One to MOST changes; fewer where mutators find no hold."""
    for _ in range(1 + source.below(MOST) if seldom(source) else 1):
        of_graph = request.graph is not None and request.graph.records and not seldom(source)
        request = _once(source, scene, request, GRAPH_MUTATORS if of_graph else MUTATORS)
    return request


def mildly(source: Source, scene: Scene, request: Request) -> Request:
    """A change that does not make the request wrong by itself."""
    of_graph = request.graph is not None and request.graph.records
    return _once(source, scene, request, MILD_GRAPH_MUTATORS if of_graph else MILD_MUTATORS)


def _once(source: Source, scene: Scene, request: Request, mutators: Sequence[Mutator]) -> Request:
    other = pick(source, mutators)(source, scene, request)
    return request if other is None else other


def _numeric(struct: StructDef) -> list[str]:
    return [
        field.name for field in struct.fields if field.type[0] in "ui" and not (field.type == "u8" and field.count > 1)
    ]


def _struct(scene: Scene, request: Request) -> StructDef | None:
    name = scene.dialect.command(request.command).request
    return scene.dialect.structs[name] if name else None


def _field(source: Source, scene: Scene, request: Request) -> Request | None:
    """A field of the fixed part."""
    struct = _struct(scene, request)
    names = _numeric(struct) if struct is not None else []
    if struct is None or not names:
        return None
    about = request.fields.get("tensor")
    record = about if isinstance(about, Mapping) else None
    fields, words = changed(source, scene, struct, request.fields, names, record)
    return request.saying(words, fields=fields)


def _tensor(source: Source, scene: Scene, request: Request) -> Request | None:
    """A field of the record that the command is about."""
    names = [name for name, value in request.fields.items() if isinstance(value, Mapping)]
    if not names:
        return None
    name = pick(source, names)
    struct = scene.dialect.structs[TENSOR]
    record = cast(Record, request.fields[name])
    other, words = changed(source, scene, struct, record, RECORD_NAMES, record)
    return request.saying(f"{name}.{words}", fields={**request.fields, name: other})


def _declared(source: Source, scene: Scene, request: Request) -> Request | None:
    """Another size than the body has."""
    struct = _struct(scene, request)
    size = (struct.size if struct else 0) + len(request.tail)
    other = pick(source, (size + 1, max(size - 1, 0), 0, 1, 1 << 31, 1 << 32, SIGN64 - 1, SIGN64, TOP64 - 1))
    return request.saying(f"declares {shown(other)}", declared=other)


def _shorter(source: Source, scene: Scene, request: Request) -> Request | None:
    """Bytes less, and the size declared accordingly."""
    cut = pick(source, CUTS)
    return request.saying(f"{cut} bytes cut from its body", cut=cut)


def _longer(source: Source, scene: Scene, request: Request) -> Request | None:
    """Bytes more."""
    more = pick(source, (1, 8, 296))
    return request.saying(f"{more} bytes behind its body", tail=request.tail + bytes(more))


def _payload(source: Source, scene: Scene, request: Request) -> Request | None:
    """Index values, or whatever the payload is, out of range."""
    width = pick(source, (4, 8))
    if len(request.tail) < width:
        return None
    at = source.below(len(request.tail) // width) * width
    value = pick(source, INDICES)
    tail = request.tail[:at] + (value % (1 << 8 * width)).to_bytes(width, "little") + request.tail[at + width :]
    return request.saying(f"payload at {at} is {value}", tail=tail)


def _command(source: Source, scene: Scene, request: Request) -> Request | None:
    """The body of one command under the number of another."""
    numbers = (*scene.dialect.commands, *UNDEFINED)
    number = pick(source, numbers)
    return request.saying(f"command byte {number}", number=number)


def _harmless(source: Source, scene: Scene, request: Request) -> Request | None:
    """What a server ignores in a record outside graphs: TENSOR-8 to TENSOR-14."""
    names = [name for name, value in request.fields.items() if isinstance(value, Mapping)]
    if not names:
        return None
    record = cast(Record, request.fields[names[0]])
    strange = {**record, **harmless(source), "id": source.below(SIGN64 - 1) + 1}
    strange["op"] = source.below(len(scene.dialect.ops))
    words = f"{names[0]}: another name, id, op, use_count and view_offs"
    return request.saying(words, fields={**request.fields, names[0]: cast(Record, strange)})


RECORD_NAMES = (
    *("type", "buffer", "data", "ne", "nb", "ne", "nb", "data", "buffer", "type"),
    *("id", "op", "flags", "src", "view_src", "view_offs", "use_count"),
)
"""those that decide about memory more often"""
MILD_MUTATORS: Sequence[Mutator] = (_harmless, _payload)
MUTATORS: Sequence[Mutator] = (
    *(_tensor,) * 8,
    *(_field,) * 4,
    *(_payload,) * 4,
    *(_harmless,) * 2,
    *(_shorter, _longer, _declared, _command),
)
"""as often as each stands there"""
