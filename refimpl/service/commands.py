"""What each command does that needs no waiting: a plain function from what the connection has and the message to the
reply.

A function returns the reply, or None where the command has none, and raises ProtocolError where the peer broke a
clause, before anything has changed. Payloads, graphs, releases and the tensor cache wait for sockets, threads and
files: they live in conversation.py. `moved_bytes` tells which of these functions are worth a thread.
"""

from collections.abc import Callable
from typing import Any

from refimpl.errors import OutOfMemory, PhaseError
from refimpl.service.holdings import Holdings
from refimpl.session.regions import Region, resolve_copy, tensor_nbytes
from refimpl.wire import messages as wire

__all__ = ["COMMANDS", "Handler", "moved_bytes"]

Handler = Callable[[Holdings, Any], wire.Reply | None]


def _device_count(own: Holdings, message: wire.DeviceCount) -> wire.Reply:
    return wire.DeviceCountReply(len(own.seats))


def _get_alignment(own: Holdings, message: wire.GetAlignment) -> wire.Reply:
    return wire.AlignmentReply(own.seat(message.device).device.alignment)


def _get_max_size(own: Holdings, message: wire.GetMaxSize) -> wire.Reply:
    return wire.MaxSizeReply(own.seat(message.device).device.max_size)


def _get_device_memory(own: Holdings, message: wire.GetDeviceMemory) -> wire.Reply:
    memory = own.available(message.device)
    return wire.DeviceMemoryReply(free=memory.free, total=memory.total)


def _alloc_buffer(own: Holdings, message: wire.AllocBuffer) -> wire.Reply:
    """Not enough memory is an answer, handle 0, not a violation."""
    try:
        entry = own.allocate(message.device, message.size)
    except OutOfMemory:
        return wire.AllocBufferReply(handle=0, size=0)
    return wire.AllocBufferReply(handle=entry.handle, size=entry.size)


def _buffer_get_base(own: Holdings, message: wire.BufferGetBase) -> wire.Reply:
    return wire.BufferBaseReply(own.ledger.get(message.handle).base)


def _buffer_clear(own: Holdings, message: wire.BufferClear) -> None:
    own.fill(Region(message.handle, 0, own.ledger.get(message.handle).size), message.value)


def _memset_tensor(own: Holdings, message: wire.MemsetTensor) -> None:
    own.fill(own.region(message.tensor, message.offset, message.size), message.value)


def _copy_tensor(own: Holdings, message: wire.CopyTensor) -> wire.Reply:
    """Between two devices the answer is 0, "cannot": the client then moves the bytes itself."""
    src, dst = resolve_copy(own.ledger, message.src, message.dst)
    return wire.CopyTensorReply(int(own.copy(src, dst)))


def _init_tensor(own: Holdings, message: wire.InitTensor) -> None:
    """Proves that the tensor may be there, unless it is in no buffer. No device here pads rows: nothing is done."""
    if message.tensor["buffer"]:
        own.region(message.tensor, 0, 0)


def _get_alloc_size(own: Holdings, message: wire.GetAllocSize) -> wire.Reply:
    """Tensors need no more room than their bytes:

    Kernels keep scratch of their own. The tensor may lie in no buffer yet.
    """
    own.seat(message.device)
    return wire.AllocSizeReply(tensor_nbytes(message.tensor, own.limits))


def _comm_init(own: Holdings, message: wire.CommInit) -> wire.Reply:
    """0, "takes no part": the client then adds up by itself (COMM-4), whatever pair it had in mind."""
    own.seat(message.device)
    return wire.CommInitReply(ok=0)


def _comm_allreduce(own: Holdings, message: wire.CommAllreduce) -> None:
    own.seat(message.device)
    raise PhaseError("COMM-5", f"COMM_ALLREDUCE on device {message.device}, which belongs to no pair")


def _comm_free(own: Holdings, message: wire.CommFree) -> None:
    """There is never a pair to dissolve (COMM-6)."""
    own.seat(message.device)


COMMANDS: dict[type[wire.Request], Handler] = {
    wire.DeviceCount: _device_count,
    wire.GetAlignment: _get_alignment,
    wire.GetMaxSize: _get_max_size,
    wire.GetDeviceMemory: _get_device_memory,
    wire.AllocBuffer: _alloc_buffer,
    wire.BufferGetBase: _buffer_get_base,
    wire.BufferClear: _buffer_clear,
    wire.MemsetTensor: _memset_tensor,
    wire.CopyTensor: _copy_tensor,
    wire.InitTensor: _init_tensor,
    wire.GetAllocSize: _get_alloc_size,
    wire.CommInit: _comm_init,
    wire.CommAllreduce: _comm_allreduce,
    wire.CommFree: _comm_free,
}


def moved_bytes(own: Holdings, message: wire.Request) -> int:
    """Bytes of memory that a command of COMMANDS will write or put in order, 0 for those that write none.

    Raises ProtocolError as they do.
    """
    match message:
        case wire.BufferClear(handle=handle):
            region = Region(handle, 0, own.ledger.get(handle).size)
            return region.size + own.pending(region)
        case wire.MemsetTensor(size=size):
            return size + own.pending(own.region(message.tensor, message.offset, size))
        case wire.CopyTensor():
            src, dst = resolve_copy(own.ledger, message.src, message.dst)
            return src.size + own.pending(src) + own.pending(dst)
        case _:
            return 0
