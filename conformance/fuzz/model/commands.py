"""What every command but the two about graphs has to do, by the clauses of buffers.md, transfer.md and comm.md."""

import functools
from collections.abc import Callable

import attrs

from conformance.fuzz.layout import Number
from conformance.fuzz.model.memory import Held, Region
from conformance.fuzz.model.ruling import Answer, Lost, Violation, must
from conformance.fuzz.model.session import Ask, Handler, Session
from conformance.fuzz.model.tensors import SURELY_SERVED, owner, placed, region, sized
from conformance.fuzz.script import Due, Place
from conformance.judge.codec import number

__all__ = ["HANDLERS"]

TOP = 1 << 64
LONGEST_REPLY = 1 << 22
"""pieces that overlap may add up to anything; beyond this nobody waits for them"""
MOST_PIECES = 1 << 14
WORLD, RANKS = 2, (0, 1)

HANDLERS: dict[str, Handler] = {}
"""by command name"""


def _about(command: str) -> Callable[[Handler], Handler]:
    def declare(handler: Handler) -> Handler:
        HANDLERS[command] = handler
        return handler

    return declare


@_about("HELLO")
def _hello(session: Session, ask: Ask) -> Answer:
    """HELLO-3, HELLO-5: to whom offers nothing, nothing is offered."""
    session.greeted = True
    major, minor, patch = session.world.dialect.hello
    caps = ask.raw("conn_caps")
    size = session.world.structs["hello_rsp"].size
    front = bytes((major, minor, patch, 0))
    care = b"" if not any(caps) else b"\1" * len(front) + bytes(size - len(front))
    return Answer(Due("bytes", size, front + bytes(size - len(front)), care))


def _constant(reply: str, session: Session, ask: Ask) -> Answer:
    device = f" of {ask.number('device')}" if "device" in ask.values else ""
    return Answer(Due("constant", session.world.structs[reply].size, name=f"{reply}{device}"))


for _name, _reply in (("DEVICE_COUNT", "device_count_rsp"), ("GET_ALIGNMENT", "alignment_rsp")):
    HANDLERS[_name] = functools.partial(_constant, _reply)
HANDLERS["GET_MAX_SIZE"] = functools.partial(_constant, "max_size_rsp")


@_about("GET_DEVICE_MEMORY")
def _memory(session: Session, ask: Ask) -> Answer:
    return Answer(Due("memory", session.world.structs["device_memory_rsp"].size))


@_about("ALLOC_BUFFER")
def _alloc(session: Session, ask: Ask) -> Answer:
    """ALLOC-1 to ALLOC-3: a buffer, or want of memory."""
    layout = session.world.structs["alloc_buffer_rsp"]
    name = f"{session.on}.{len(session.places) + session.awaited}"
    session.awaited += 1

    def settle(body: bytes) -> None:
        values = layout.unpack(body)
        session.awaited -= 1
        handle, size = _plain(values, "handle"), _plain(values, "size")
        session.places[name] = Place(handle, size)
        if handle:
            session.owned[handle] = Held(name, size, handle)

    return Answer(Due("buffer", layout.size, name=name, least=ask.number("size")), settle)


def _plain(values: dict[str, Number], name: str) -> int:
    value = values[name]
    if not isinstance(value, int):
        raise TypeError(name)
    return value


def _mine(session: Session, ask: Ask) -> Held:
    handle = ask.number("handle")
    must(handle in session.owned, "HANDLE-2")
    return session.owned[handle]


@_about("BUFFER_GET_BASE")
def _base(session: Session, ask: Ask) -> Answer:
    held = _mine(session, ask)

    def settle(body: bytes) -> None:
        held.base = number(body)
        session.places[held.name] = attrs.evolve(session.places[held.name], base=held.base)

    return Answer(Due("base", session.world.structs["buffer_get_base_rsp"].size, name=held.name), settle)


@_about("FREE_BUFFER")
def _free(session: Session, ask: Ask) -> Answer:
    """GRAPH-24: graphs that use it are forgotten; all others SHOULD be kept."""
    held = _mine(session, ask)
    del session.owned[held.handle]
    session.forget(held)
    return Answer()


@_about("BUFFER_CLEAR")
def _clear(session: Session, ask: Ask) -> Answer:
    held = _mine(session, ask)
    if not held.modelled:
        raise Lost
    Region(held, 0, held.size).fill(ask.number("value"))
    return Answer()


def _region(session: Session, ask: Ask, size: int) -> Region:
    tensor = session.world.tensor(ask.raw("tensor"))
    return region(tensor, session.owned, ask.number("offset"), size, ask.doubts)


@_about("SET_TENSOR")
def _set(session: Session, ask: Ask) -> Answer:
    _region(session, ask, len(ask.tail)).write(ask.tail)
    return Answer()


@_about("SET_TENSOR_HASH")
def _hash(session: Session, ask: Ask) -> Answer:
    """CACHE-8: whoever has nothing to write need not look at the tensor, and may."""
    tensor = session.world.tensor(ask.raw("tensor"))
    try:
        region(tensor, session.owned, ask.number("offset"), 0, ask.doubts)
    except Violation:
        ask.doubts.unless(False, "CACHE-8")
    return Answer(Due("one of", session.world.structs["set_tensor_hash_rsp"].size, data=b"\0"))


@_about("GET_TENSOR")
def _get(session: Session, ask: Ask) -> Answer:
    size = ask.number("size")
    data, care = _region(session, ask, size).read()
    return Answer(Due("bytes", size, data, care if 0 in care else b""))


@_about("MEMSET_TENSOR")
def _memset(session: Session, ask: Ask) -> Answer:
    _region(session, ask, ask.number("size")).fill(ask.number("value"))
    return Answer()


@_about("COPY_TENSOR")
def _copy(session: Session, ask: Ask) -> Answer:
    """COPY-1 to COPY-6; COPY-4: with ok = 0 nothing has moved."""
    src, dst = session.world.tensor(ask.raw("src")), session.world.tensor(ask.raw("dst"))
    size = sized(src, ask.doubts)
    source = placed(src, owner(src, session.owned), size)
    span = sized(dst, ask.doubts)
    held = owner(dst, session.owned)
    target = placed(dst, held, size)
    inside = span == 0 or (held.base is not None and held.base <= dst.data <= held.base + held.size - span)
    ask.doubts.unless(inside, "COPY-3")
    data, care = source.read()
    untouched = target.read()
    target.blur()
    fed = session.fed

    def settle(body: bytes) -> None:
        moved, known = (data, care) if body == b"\1" else untouched
        if session.fed == fed and not source.meets(target):
            target.write(moved)
            target.held.known[target.begin : target.end] = [bool(each) for each in known]

    return Answer(Due("one of", session.world.structs["copy_tensor_rsp"].size, data=b"\1\0"), settle)


@_about("INIT_TENSOR")
def _init(session: Session, ask: Ask) -> Answer:
    """INIT-2, INIT-3: what names no buffer may be ignored, whatever else it says."""
    tensor = session.world.tensor(ask.raw("tensor"))
    if tensor.buffer not in session.owned:
        strange = tensor.buffer != 0 or tensor.kind is None or tensor.elements >= TOP // 2 or tensor.id == 0
        ask.doubts.unless(not strange, "INIT-3")
        if tensor.kind is not None and tensor.elements:
            ask.doubts.unless(tensor.ne[0] % tensor.kind.block == 0, "TENSOR-6")
            ask.doubts.unless(tensor.span <= SURELY_SERVED, "TENSOR-15")
        return Answer()
    placed(tensor, owner(tensor, session.owned), sized(tensor, ask.doubts))
    return Answer()


@_about("GET_ALLOC_SIZE")
def _alloc_size(session: Session, ask: Ask) -> Answer:
    """ALLOC-10 to ALLOC-12: no byte is touched, so what a record says of its place, and of its operands, may count."""
    tensor = session.world.tensor(ask.raw("tensor"))
    span = sized(tensor, ask.doubts)
    must(span < TOP, "ALLOC-12")
    if tensor.buffer:
        ask.doubts.unless(tensor.buffer in session.owned, "ALLOC-10")
        held = session.owned.get(tensor.buffer)
        inside = held is not None and held.base is not None and 0 <= tensor.data - held.base <= held.size - span
        ask.doubts.unless(inside, "ALLOC-10")
    ask.doubts.unless(tensor.op < len(session.world.dialect.ops), "GRAPH-10")
    ask.doubts.unless(tensor.data == 0 or tensor.buffer != 0, "ALLOC-10")
    ask.doubts.unless(not any(ask.raw("srcs")), "ALLOC-11")
    ask.doubts.unless(not any(tensor.src) and not tensor.view_src, "ALLOC-11")
    return Answer(Due("at least", session.world.structs["get_alloc_size_rsp"].size, least=span))


def _pieces(session: Session, ask: Ask) -> tuple[Region, list[tuple[int, int]]]:
    """The span of STRIDED-2, and where each piece begins and ends in it."""
    size, count, stride = ask.number("size"), ask.number("n_copies"), ask.number("stride")
    must(size != 0 and count != 0 and size * count < TOP, "STRIDED-3")
    span = (count - 1) * stride + size
    must(span < TOP, "STRIDED-3")
    whole = _region(session, ask, span)
    if size * count > LONGEST_REPLY or count > MOST_PIECES:
        raise Lost
    ask.doubts.unless(size * count <= max(whole.held.size, 1), "STRIDED-3")
    return whole, [(whole.begin + at * stride, whole.begin + at * stride + size) for at in range(count)]


@_about("SET_TENSOR_2D")
def _set_2d(session: Session, ask: Ask) -> Answer:
    size, count = ask.number("size"), ask.number("n_copies")
    must(size * count == len(ask.tail), "STRIDED-4" if size and count else "STRIDED-3")
    whole, pieces = _pieces(session, ask)
    for at, (begin, end) in enumerate(pieces):
        Region(whole.held, begin, end - begin).write(ask.tail[at * size : (at + 1) * size])
    return Answer()


@_about("GET_TENSOR_2D")
def _get_2d(session: Session, ask: Ask) -> Answer:
    whole, pieces = _pieces(session, ask)
    read = [Region(whole.held, begin, end - begin).read() for begin, end in pieces]
    data, care = b"".join(each for each, _ in read), b"".join(each for _, each in read)
    return Answer(Due("bytes", len(data), data, care if 0 in care else b""))


@_about("COMM_INIT")
def _comm_init(session: Session, ask: Ask) -> Answer:
    """COMM-2, COMM-4: what could be a pair is left alone."""
    if ask.number("world") == WORLD and ask.number("rank") in RANKS:
        raise Lost
    return Answer(Due("one of", session.world.structs["comm_init_rsp"].size, data=b"\0"))


@_about("COMM_ALLREDUCE")
def _comm_allreduce(session: Session, ask: Ask) -> Answer:
    must(False, "COMM-5")
    return Answer()


@_about("COMM_FREE")
def _comm_free(session: Session, ask: Ask) -> Answer:
    return Answer()
