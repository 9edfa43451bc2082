"""Every request and reply as one frozen class, the same for all dialects.

Rules:
- A field that only some dialects have is 0 in the others: uid, cache_flag.
- `tensor`, `src` and `dst` are single RPC_TENSOR records (numpy.void), read-only views of the bytes they arrived in.
- Bulk bytes are no part of a message: `payload_bytes` of a request says how many follow its fixed part, `reply_bytes`
  how many its bulk reply has. Both are plain Python integers and cannot wrap.
- Numbers are as on the wire and prove nothing: what they mean is for session/ and graph/ to check.
- Messages compare by content.
"""

from typing import Any, ClassVar

import attrs
import numpy as np
from numpy.typing import NDArray

from refimpl.wire.tensor import TensorRecords
from spec.names import Command

__all__ = [
    "REPLIES",
    "REQUESTS",
    "AlignmentReply",
    "AllocBuffer",
    "AllocBufferReply",
    "AllocSizeReply",
    "BufferBaseReply",
    "BufferClear",
    "BufferGetBase",
    "CommAllreduce",
    "CommFree",
    "CommInit",
    "CommInitReply",
    "CopyTensor",
    "CopyTensorReply",
    "DeviceCount",
    "DeviceCountReply",
    "DeviceMemoryReply",
    "FreeBuffer",
    "GetAlignment",
    "GetAllocSize",
    "GetDeviceMemory",
    "GetMaxSize",
    "GetTensor",
    "GetTensor2D",
    "GraphCompute",
    "GraphRecompute",
    "Hello",
    "HelloReply",
    "InitTensor",
    "MaxSizeReply",
    "MemsetTensor",
    "Message",
    "Reply",
    "Request",
    "SetTensor",
    "SetTensor2D",
    "SetTensorHash",
    "SetTensorHashReply",
    "TensorData",
]

NO_CAPS = bytes(24)
"""conn_caps of a peer that stays on plain TCP (HELLO-5)"""


@attrs.frozen
class Message:
    """A request or a reply."""

    command: ClassVar[Command]
    """the request itself, or the request that the reply answers"""


@attrs.frozen
class Request(Message):
    """What a client sends."""

    @property
    def payload_bytes(self) -> int:
        """Bulk bytes that follow the fixed part of the request."""
        return 0

    @property
    def reply_bytes(self) -> int | None:
        """Length of the bulk reply; None where the reply has a fixed layout or none is sent."""
        return None


@attrs.frozen
class Reply(Message):
    """What a server answers."""


def _record_key(tensor: Any) -> bytes:
    """What two records are compared by: their bytes, names and unused slots included."""
    return bytes(tensor.tobytes())


@attrs.frozen
class Hello(Request):
    command = Command.HELLO
    conn_caps: bytes = NO_CAPS


@attrs.frozen
class DeviceCount(Request):
    command = Command.DEVICE_COUNT


@attrs.frozen
class GetAlignment(Request):
    command = Command.GET_ALIGNMENT
    device: int


@attrs.frozen
class GetMaxSize(Request):
    command = Command.GET_MAX_SIZE
    device: int


@attrs.frozen
class GetDeviceMemory(Request):
    command = Command.GET_DEVICE_MEMORY
    device: int


@attrs.frozen
class AllocBuffer(Request):
    command = Command.ALLOC_BUFFER
    device: int
    size: int


@attrs.frozen
class BufferGetBase(Request):
    command = Command.BUFFER_GET_BASE
    handle: int


@attrs.frozen
class FreeBuffer(Request):
    command = Command.FREE_BUFFER
    handle: int


@attrs.frozen
class BufferClear(Request):
    command = Command.BUFFER_CLEAR
    handle: int
    value: int


@attrs.frozen
class SetTensor(Request):
    """`size` bytes follow and go to byte `offset` of `tensor`; the size is told by the frame alone."""

    command = Command.SET_TENSOR
    tensor: np.void = attrs.field(eq=_record_key, repr=False)
    cache_flag: int
    offset: int
    size: int

    @property
    def payload_bytes(self) -> int:
        return self.size


@attrs.frozen
class SetTensorHash(Request):
    command = Command.SET_TENSOR_HASH
    tensor: np.void = attrs.field(eq=_record_key, repr=False)
    offset: int
    hash: int


@attrs.frozen
class GetTensor(Request):
    command = Command.GET_TENSOR
    tensor: np.void = attrs.field(eq=_record_key, repr=False)
    offset: int
    size: int

    @property
    def reply_bytes(self) -> int:
        return self.size


@attrs.frozen
class CopyTensor(Request):
    command = Command.COPY_TENSOR
    src: np.void = attrs.field(eq=_record_key, repr=False)
    dst: np.void = attrs.field(eq=_record_key, repr=False)


@attrs.frozen(eq=False)
class GraphCompute(Request):
    """Run `nodes`, ids among `tensors`, in that order. Compared by device, uid and content."""

    command = Command.GRAPH_COMPUTE
    device: int
    uid: int
    nodes: NDArray[np.uint64]
    """(n,) tensor ids"""
    tensors: TensorRecords
    """(t,)"""
    body: bytes = attrs.field(default=b"", repr=False)
    """the body as received, to compare with that of an earlier graph; empty in a message made here"""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GraphCompute) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[int, int, bytes, bytes]:
        return self.device, self.uid, self.nodes.tobytes(), self.tensors.tobytes()


@attrs.frozen
class GraphRecompute(Request):
    command = Command.GRAPH_RECOMPUTE
    device: int
    uid: int = 0


@attrs.frozen
class InitTensor(Request):
    command = Command.INIT_TENSOR
    tensor: np.void = attrs.field(eq=_record_key, repr=False)


@attrs.frozen
class GetAllocSize(Request):
    """`srcs`: (10,) records by operand slot; id 0 is an empty slot."""

    command = Command.GET_ALLOC_SIZE
    device: int
    tensor: np.void = attrs.field(eq=_record_key, repr=False)
    srcs: TensorRecords = attrs.field(eq=_record_key, repr=False)


@attrs.frozen
class MemsetTensor(Request):
    command = Command.MEMSET_TENSOR
    tensor: np.void = attrs.field(eq=_record_key, repr=False)
    offset: int
    size: int
    value: int


@attrs.frozen
class SetTensor2D(Request):
    """`n_copies` packed pieces of `size` bytes follow; in the tensor they begin `stride` bytes apart."""

    command = Command.SET_TENSOR_2D
    tensor: np.void = attrs.field(eq=_record_key, repr=False)
    offset: int
    size: int
    n_copies: int
    stride: int

    @property
    def payload_bytes(self) -> int:
        return self.size * self.n_copies


@attrs.frozen
class GetTensor2D(Request):
    """The reply holds `n_copies` packed pieces of `size` bytes, read `stride` bytes apart."""

    command = Command.GET_TENSOR_2D
    tensor: np.void = attrs.field(eq=_record_key, repr=False)
    offset: int
    size: int
    n_copies: int
    stride: int

    @property
    def reply_bytes(self) -> int:
        return self.size * self.n_copies


@attrs.frozen
class CommInit(Request):
    """`host` without its padding."""

    command = Command.COMM_INIT
    device: int
    rank: int
    world: int
    port: int
    host: bytes


@attrs.frozen
class CommAllreduce(Request):
    command = Command.COMM_ALLREDUCE
    device: int
    tensor: np.void = attrs.field(eq=_record_key, repr=False)


@attrs.frozen
class CommFree(Request):
    command = Command.COMM_FREE
    device: int


@attrs.frozen
class HelloReply(Reply):
    command = Command.HELLO
    major: int
    minor: int
    patch: int
    conn_caps: bytes = NO_CAPS


@attrs.frozen
class DeviceCountReply(Reply):
    command = Command.DEVICE_COUNT
    count: int


@attrs.frozen
class AlignmentReply(Reply):
    command = Command.GET_ALIGNMENT
    alignment: int


@attrs.frozen
class MaxSizeReply(Reply):
    command = Command.GET_MAX_SIZE
    max_size: int


@attrs.frozen
class DeviceMemoryReply(Reply):
    command = Command.GET_DEVICE_MEMORY
    free: int
    total: int


@attrs.frozen
class AllocBufferReply(Reply):
    """Handle 0 and size 0: the device could not give it."""

    command = Command.ALLOC_BUFFER
    handle: int
    size: int


@attrs.frozen
class BufferBaseReply(Reply):
    command = Command.BUFFER_GET_BASE
    base: int


@attrs.frozen
class SetTensorHashReply(Reply):
    command = Command.SET_TENSOR_HASH
    found: int


@attrs.frozen
class TensorData(Reply):
    """`size` bulk bytes follow; answers GET_TENSOR and GET_TENSOR_2D alike."""

    command = Command.GET_TENSOR
    size: int


@attrs.frozen
class CopyTensorReply(Reply):
    command = Command.COPY_TENSOR
    ok: int


@attrs.frozen
class AllocSizeReply(Reply):
    command = Command.GET_ALLOC_SIZE
    size: int


@attrs.frozen
class CommInitReply(Reply):
    command = Command.COMM_INIT
    ok: int


REQUESTS: dict[Command, type[Request]] = {cls.command: cls for cls in Request.__subclasses__()}
"""the class of each request"""

REPLIES: dict[Command, type[Reply]] = {
    **{cls.command: cls for cls in Reply.__subclasses__()},
    Command.GET_TENSOR_2D: TensorData,
}
"""the class of the reply to each request that is answered in any dialect"""
