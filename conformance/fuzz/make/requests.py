"""Valid requests for every command but the two about graphs, in the context of a session.

A maker answers None where the session has nothing to ask about, such as a buffer. `COMM_ALLREDUCE` is valid only
between two servers, so it is made as it would look, and the model knows.
"""

from collections.abc import Callable, Mapping

from conformance.fuzz.make.scene import Laid, Scene, laid
from conformance.fuzz.make.source import Source, between, pick, seldom
from conformance.fuzz.request import Fields, Ref, Request

__all__ = ["MAKERS", "Make", "base_of", "cleared", "makers", "whole"]

Make = Callable[[Source, Scene], Request | None]

SIZES = (4096, 1024, 16384, 64, 256, 65536, 1, 63, 0, 4097)
ABSURD = ((1 << 62), (1 << 63), (1 << 64) - 1, (1 << 63) - 1, (1 << 64) - 64)
BUFFERS = 6
"""a session that has as many asks for no more"""
PIECES = 4
NO_PAIR = 3
SOME_HASH = 0x0123456789ABCDEF

MAKERS: dict[str, Make] = {}
"""by command name"""


def _about(*commands: str) -> Callable[[Make], Make]:
    def declare(make: Make) -> Make:
        MAKERS.update(dict.fromkeys(commands, make))
        return make

    return declare


@_about("HELLO")
def _hello(source: Source, scene: Scene) -> Request:
    return Request(command="HELLO")


@_about("DEVICE_COUNT")
def _count(source: Source, scene: Scene) -> Request:
    return Request(command="DEVICE_COUNT")


def _of_device(command: str) -> Make:
    def make(source: Source, scene: Scene) -> Request:
        return Request(command=command, fields={"device": source.below(scene.session.world.devices)})

    return make


for _name in ("GET_ALIGNMENT", "GET_MAX_SIZE", "GET_DEVICE_MEMORY", "COMM_FREE"):
    MAKERS[_name] = _of_device(_name)


@_about("ALLOC_BUFFER")
def _alloc(source: Source, scene: Scene) -> Request | None:
    if len(scene.session.owned) >= BUFFERS:
        return None
    size = pick(source, ABSURD) if seldom(source) and seldom(source) else pick(source, SIZES)
    return Request(command="ALLOC_BUFFER", fields={"device": 0, "size": size})


def base_of(name: str) -> Request:
    """BUFFER_GET_BASE of a buffer."""
    return Request(command="BUFFER_GET_BASE", fields={"handle": Ref(name)})


@_about("BUFFER_GET_BASE")
def _base(source: Source, scene: Scene) -> Request | None:
    live = scene.session.live()
    return base_of(pick(source, live).name) if live else None


@_about("FREE_BUFFER")
def _free(source: Source, scene: Scene) -> Request | None:
    live = scene.session.live()
    if len(live) < 2:
        return None
    return Request(command="FREE_BUFFER", fields={"handle": Ref(pick(source, live).name)})


@_about("BUFFER_CLEAR")
def _clear(source: Source, scene: Scene) -> Request | None:
    live = [held for held in scene.session.live() if held.modelled]
    return cleared(pick(source, live).name, source.below(256)) if live else None


def cleared(name: str, value: int) -> Request:
    """BUFFER_CLEAR of a buffer."""
    return Request(command="BUFFER_CLEAR", fields={"handle": Ref(name), "value": value})


def _part(source: Source, span: int) -> tuple[int, int]:
    """offset and size of some bytes out of so many."""
    if not seldom(source):
        return 0, span
    offset = source.below(span + 1)
    return offset, source.below(span - offset + 1)


@_about("SET_TENSOR")
def _set(source: Source, scene: Scene) -> Request | None:
    tensor = laid(source, scene)
    if tensor is None:
        return None
    offset, size = _part(source, tensor.span)
    return Request(
        command="SET_TENSOR", fields={"tensor": tensor.record(), "offset": offset}, tail=source.data(min(size, 1 << 12))
    )


@_about("SET_TENSOR_HASH")
def _hash(source: Source, scene: Scene) -> Request | None:
    tensor = laid(source, scene)
    if tensor is None:
        return None
    fields: Fields = {"tensor": tensor.record(), "offset": 0, "hash": SOME_HASH}
    return Request(command="SET_TENSOR_HASH", fields=fields)


@_about("GET_TENSOR")
def _get(source: Source, scene: Scene) -> Request | None:
    tensor = laid(source, scene)
    if tensor is None:
        return None
    offset, size = _part(source, tensor.span)
    return Request(command="GET_TENSOR", fields={"tensor": tensor.record(), "offset": offset, "size": size})


def whole(scene: Scene, name: str, size: int) -> Request:
    """GET_TENSOR of all bytes of a buffer."""
    kind = scene.dialect.type("I8")
    tensor = Laid(kind=kind, ne=(size, 1, 1, 1), nb=(1, size, size, size), held=name, begin=0, span=size)
    return Request(command="GET_TENSOR", fields={"tensor": tensor.record(), "offset": 0, "size": size})


@_about("MEMSET_TENSOR")
def _memset(source: Source, scene: Scene) -> Request | None:
    tensor = laid(source, scene)
    if tensor is None:
        return None
    offset, size = _part(source, tensor.span)
    value = source.below(256)
    fields: Fields = {"tensor": tensor.record(), "offset": offset, "size": size, "value": value}
    return Request(command="MEMSET_TENSOR", fields=fields)


@_about("COPY_TENSOR")
def _copy(source: Source, scene: Scene) -> Request | None:
    src, dst = laid(source, scene), laid(source, scene)
    if src is None or dst is None:
        return None
    held = next(held for held in scene.buffers if held.name == dst.held)
    record = dst.record(2)
    if dst.begin + src.span > held.size:
        record["data"] = Ref(held.name, base=True, add=0)
        if src.span > held.size or dst.span > held.size:
            return None
    return Request(command="COPY_TENSOR", fields={"src": src.record(), "dst": record})


@_about("INIT_TENSOR")
def _init(source: Source, scene: Scene) -> Request | None:
    tensor = laid(source, scene)
    return None if tensor is None else Request(command="INIT_TENSOR", fields={"tensor": tensor.record()})


@_about("GET_ALLOC_SIZE")
def _alloc_size(source: Source, scene: Scene) -> Request | None:
    tensor = laid(source, scene)
    if tensor is None:
        return None
    record = {**tensor.record(), "buffer": 0, "data": 0}
    return Request(command="GET_ALLOC_SIZE", fields={"device": 0, "tensor": record})


def _pieces(source: Source, scene: Scene) -> tuple[Fields, int] | None:
    tensor = laid(source, scene)
    if tensor is None or tensor.span == 0:
        return None
    count = between(source, 1, min(PIECES, tensor.span))
    stride = tensor.span // count
    size = between(source, 1, max(stride, 1))
    fields: Fields = {"tensor": tensor.record(), "offset": 0, "size": size, "n_copies": count, "stride": stride}
    return fields, size * count


@_about("SET_TENSOR_2D")
def _set_2d(source: Source, scene: Scene) -> Request | None:
    found = _pieces(source, scene)
    if found is None:
        return None
    return Request(command="SET_TENSOR_2D", fields=found[0], tail=source.data(found[1]))


@_about("GET_TENSOR_2D")
def _get_2d(source: Source, scene: Scene) -> Request | None:
    found = _pieces(source, scene)
    return None if found is None else Request(command="GET_TENSOR_2D", fields=found[0])


@_about("COMM_INIT")
def _comm_init(source: Source, scene: Scene) -> Request:
    return Request(command="COMM_INIT", fields={"device": 0, "rank": source.below(3), "world": NO_PAIR})


@_about("COMM_ALLREDUCE")
def _comm_allreduce(source: Source, scene: Scene) -> Request | None:
    tensor = laid(source, scene)
    return (
        None if tensor is None else Request(command="COMM_ALLREDUCE", fields={"device": 0, "tensor": tensor.record()})
    )


def makers(scene: Scene) -> Mapping[str, Make]:
    """Those of the commands that the dialect has."""
    names = {command.name for command in scene.dialect.commands.values()}
    return {name: make for name, make in MAKERS.items() if name in names}
