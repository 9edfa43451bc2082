"""Devices, handles, buffers and regions, as an ordinary run shows them."""

from collections.abc import Iterator

from conformance.client.case import ClientSection
from conformance.client.observed.duty import View, duty
from conformance.client.observed.moments import Moment
from conformance.client.observed.records import Record, fields_of, records_of

__all__ = ["CASES"]

SECTION = ClientSection()
TRANSFERS = ("SET_TENSOR", "SET_TENSOR_HASH", "GET_TENSOR", "COPY_TENSOR", "MEMSET_TENSOR", "INIT_TENSOR")
STRIDED = ("SET_TENSOR_2D", "GET_TENSOR_2D")
MAY_LACK_A_BUFFER = ("INIT_TENSOR", "GET_ALLOC_SIZE", "GRAPH_COMPUTE")
WRITES = ("SET_TENSOR", "SET_TENSOR_HASH")
PADDED_ROW = 512


@duty(SECTION, "DEVICE-2/exists")
def _exists(view: View) -> Iterator[str]:
    """Every device that is named exists."""
    for moment in view.moments():
        device = fields_of(view.codec, moment.asked).get("device")
        if view.facts.devices is not None and isinstance(device, int) and device >= view.facts.devices:
            yield f"{moment} names device {device} of {view.facts.devices}"


@duty(SECTION, "HANDLE-2/own", needs="ALLOC_BUFFER")
def _own(view: View) -> Iterator[str]:
    """Every handle is one that the connection was given."""
    for moment in view.moments():
        for handle in _handles(view, moment):
            if handle not in moment.buffers and handle not in moment.freed:
                yield f"{moment} names {handle:#x}, which ALLOC_BUFFER did not give here"


@duty(SECTION, "FREE-1/not-after", needs="FREE_BUFFER")
def _not_after(view: View) -> Iterator[str]:
    """A handle is not named after FREE_BUFFER, and is freed once."""
    for moment in view.moments():
        for handle in _handles(view, moment):
            if handle in moment.freed and handle not in moment.buffers:
                yield f"{moment} names {handle:#x}, which has been freed"


def _handles(view: View, moment: Moment) -> Iterator[int]:
    handle = fields_of(view.codec, moment.asked).get("handle")
    if isinstance(handle, int):
        yield handle
    yield from (record.buffer for record in records_of(view.codec, moment.asked) if record.buffer)


@duty(SECTION, "REGION-1/inside-the-buffer", needs="SET_TENSOR")
def _inside_the_buffer(view: View) -> Iterator[str]:
    """Tensors whose bytes are moved lie inside their buffers."""
    for moment in view.moments(*TRANSFERS, *STRIDED):
        for record in records_of(view.codec, moment.asked):
            if complaint := _outside(view, moment, record):
                yield complaint


@duty(SECTION, "GRAPH-15/inside-the-buffer", needs="GRAPH_COMPUTE")
def _graph_inside_the_buffer(view: View) -> Iterator[str]:
    """Tensors of graphs lie inside their buffers."""
    for moment in view.moments("GRAPH_COMPUTE"):
        for record in records_of(view.codec, moment.asked):
            if complaint := _outside(view, moment, record):
                yield complaint


def _outside(view: View, moment: Moment, record: Record) -> str:
    """A complaint about a record that does not lie inside its buffer; empty when it does, or has none."""
    buffer, span = moment.buffers.get(record.buffer), record.span(view.codec)
    if buffer is None or buffer.base is None or span == 0:
        return ""
    begin = record.data - buffer.base
    if begin >= 0 and begin + span <= buffer.size:
        return ""
    return f"{moment}: {record} has {span} bytes from {begin} on, in a buffer of {buffer.size}"


@duty(SECTION, "REGION-2/inside-the-tensor", needs="SET_TENSOR")
def _inside_the_tensor(view: View) -> Iterator[str]:
    """Bytes that are moved lie inside their tensor."""
    for moment in view.moments("SET_TENSOR", "GET_TENSOR", "MEMSET_TENSOR"):
        fields = fields_of(view.codec, moment.asked)
        offset, size = fields.get("offset"), fields.get("size", moment.asked.payload_size)
        for record in records_of(view.codec, moment.asked):
            span = record.span(view.codec)
            if isinstance(offset, int) and isinstance(size, int) and offset + size > span:
                yield f"{moment}: {size} bytes from {offset} on, of {record} with {span}"


@duty(SECTION, "STRIDED-2/inside-the-tensor", needs="SET_TENSOR_2D")
def _pieces_inside_the_tensor(view: View) -> Iterator[str]:
    """Strided pieces lie inside their tensor."""
    for moment in view.moments(*STRIDED):
        fields = fields_of(view.codec, moment.asked)
        offset, size = _number(fields.get("offset")), _number(fields.get("size"))
        count, stride = _number(fields.get("n_copies")), _number(fields.get("stride"))
        for record in records_of(view.codec, moment.asked):
            if offset + (count - 1) * stride + size > record.span(view.codec):
                yield f"{moment}: {count} pieces of {size} bytes every {stride} pass the end of {record}"


@duty(SECTION, "STRIDED-3/not-empty", needs="SET_TENSOR_2D")
def _pieces_not_empty(view: View) -> Iterator[str]:
    """Strided transfers have pieces, and these have bytes."""
    for moment in view.moments(*STRIDED):
        fields = fields_of(view.codec, moment.asked)
        if not fields.get("size") or not fields.get("n_copies"):
            yield f"{moment}: size {fields.get('size')!r}, n_copies {fields.get('n_copies')!r}"


@duty(SECTION, "STRIDED-4/payload", needs="SET_TENSOR_2D")
def _pieces_payload(view: View) -> Iterator[str]:
    """The payload of SET_TENSOR_2D is as long as its pieces."""
    for moment in view.moments("SET_TENSOR_2D"):
        fields = fields_of(view.codec, moment.asked)
        if moment.asked.payload_size != _number(fields.get("size")) * _number(fields.get("n_copies")):
            yield f"{moment}: {moment.asked.payload_size} bytes of payload"


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


@duty(SECTION, "REGION-5/names-a-buffer", needs="SET_TENSOR")
def _names_a_buffer(view: View) -> Iterator[str]:
    """Whatever touches bytes names a buffer."""
    for moment in view.moments(*(name for name in (*TRANSFERS, *STRIDED) if name not in MAY_LACK_A_BUFFER)):
        for record in records_of(view.codec, moment.asked):
            if record.buffer == 0:
                yield f"{moment}: {record} has buffer 0"


@duty(SECTION, "ALLOC-6/aligned", needs="SET_TENSOR")
def _aligned(view: View) -> Iterator[str]:
    """Tensors begin at multiples of the alignment from the base."""
    for moment in view.moments(*WRITES):
        for record in records_of(view.codec, moment.asked):
            buffer = moment.buffers.get(record.buffer)
            if buffer is None or buffer.base is None or record.view_src:
                continue
            alignment = view.facts.alignment.get(buffer.device, 1)
            if (record.data - buffer.base) % alignment:
                yield f"{moment}: {record} begins at {record.data - buffer.base}, no multiple of {alignment}"


@duty(SECTION, "ALLOC-7/no-larger", needs="ALLOC_BUFFER")
def _no_larger(view: View) -> Iterator[str]:
    """No buffer is asked for that is larger than the largest."""
    for moment in view.moments("ALLOC_BUFFER"):
        fields = fields_of(view.codec, moment.asked)
        size, largest = _number(fields.get("size")), view.facts.max_size.get(_number(fields.get("device")))
        if largest is not None and size > largest:
            yield f"{moment}: {size} bytes, and the largest has {largest}"


@duty(SECTION, "ALLOC-13/asks", needs="SET_TENSOR")
def _asks(view: View) -> Iterator[str]:
    """What a tensor with odd rows of blocks needs is asked before it is placed."""
    asked: set[tuple[int, tuple[int, ...]]] = set()
    for moment in view.moments():
        for record in records_of(view.codec, moment.asked):
            if moment.asked.command == "GET_ALLOC_SIZE":
                asked.add((record.type, record.ne))
            elif moment.asked.command in WRITES and _odd_rows(view, record) and (record.type, record.ne) not in asked:
                yield f"{moment}: nobody asked what {record} needs"


@duty(SECTION, "INIT-4/announced", needs="SET_TENSOR")
def _announced(view: View) -> Iterator[str]:
    """A tensor with odd rows of blocks is announced before its bytes come."""
    known: set[tuple[int, int, int]] = set()
    for moment in view.moments("INIT_TENSOR", *WRITES):
        for record in records_of(view.codec, moment.asked):
            place = (moment.talk, record.buffer, record.data)
            if moment.asked.command == "INIT_TENSOR":
                known.add(place)
            elif _odd_rows(view, record) and place not in known:
                yield f"{moment}: {record} was not announced"


def _odd_rows(view: View, record: Record) -> bool:
    """Whether a device may want to pad its rows: those of ALLOC-13."""
    kind = view.codec.dialect.types.get(record.type)
    return kind is not None and kind.quantised and record.view_src == 0 and record.ne[0] % PADDED_ROW != 0


CASES = SECTION.cases
