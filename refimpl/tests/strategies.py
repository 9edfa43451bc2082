"""Hypothesis strategies for messages: every value that a field can carry, valid in meaning or not.

`requests(dialect)` draws any request of a dialect, `reply_to(request)` an answer to it; `REQUEST_FIELDS` and
`REPLY_FIELDS` say what each class is built from, so that a message class without a strategy is a failing test and not a
silent gap.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from hypothesis import strategies as st

from refimpl.wire import messages as m
from refimpl.wire.tensor import GGML_MAX_SRC, RPC_TENSOR
from spec.dialect import Dialect
from spec.names import Command

__all__ = ["REPLY_FIELDS", "REQUEST_FIELDS", "records", "reply", "reply_to", "request", "requests", "tensors"]

u8 = st.integers(0, 2**8 - 1)
u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
caps = st.binary(min_size=24, max_size=24)
bulk = st.integers(0, 300)
"""bytes of a payload that a test really sends"""


def tensors() -> st.SearchStrategy[np.void]:
    """One record of arbitrary bytes."""
    return st.binary(min_size=RPC_TENSOR.itemsize, max_size=RPC_TENSOR.itemsize).map(
        lambda raw: np.frombuffer(raw, RPC_TENSOR)[0]
    )


def records(least: int, most: int) -> st.SearchStrategy[Any]:
    """An array of records; their bytes are patterns of one drawn seed, which is enough to tell them apart."""

    def build(count: int, seed: int) -> Any:
        raw = np.random.default_rng(seed).bytes(count * RPC_TENSOR.itemsize)
        return np.frombuffer(raw, RPC_TENSOR)

    return st.builds(build, st.integers(least, most), u32)


def node_ids() -> st.SearchStrategy[Any]:
    return st.lists(u64, max_size=20).map(lambda ids: np.array(ids, np.uint64))


def hosts() -> st.SearchStrategy[bytes]:
    """At most 64 bytes that do not end in the NUL that pads them."""
    return st.binary(max_size=64).map(lambda raw: raw.rstrip(b"\0"))


REQUEST_FIELDS: Mapping[type[m.Request], Mapping[str, st.SearchStrategy[Any]]] = {
    m.Hello: {"conn_caps": caps},
    m.DeviceCount: {},
    m.GetAlignment: {"device": u32},
    m.GetMaxSize: {"device": u32},
    m.GetDeviceMemory: {"device": u32},
    m.AllocBuffer: {"device": u32, "size": u64},
    m.BufferGetBase: {"handle": u64},
    m.FreeBuffer: {"handle": u64},
    m.BufferClear: {"handle": u64, "value": u8},
    m.SetTensor: {"tensor": tensors(), "cache_flag": u8, "offset": u64, "size": bulk},
    m.SetTensorHash: {"tensor": tensors(), "offset": u64, "hash": u64},
    m.GetTensor: {"tensor": tensors(), "offset": u64, "size": bulk},
    m.CopyTensor: {"src": tensors(), "dst": tensors()},
    m.GraphCompute: {"device": u32, "uid": u64, "nodes": node_ids(), "tensors": records(0, 5)},
    m.GraphRecompute: {"device": u32, "uid": u64},
    m.InitTensor: {"tensor": tensors()},
    m.GetAllocSize: {"device": u32, "tensor": tensors(), "srcs": records(GGML_MAX_SRC, GGML_MAX_SRC)},
    m.MemsetTensor: {"tensor": tensors(), "offset": u64, "size": u64, "value": u8},
    m.SetTensor2D: {
        "tensor": tensors(),
        "offset": u64,
        "size": st.integers(0, 20),
        "n_copies": st.integers(0, 20),
        "stride": u64,
    },
    m.GetTensor2D: {
        "tensor": tensors(),
        "offset": u64,
        "size": st.integers(0, 20),
        "n_copies": st.integers(0, 20),
        "stride": u64,
    },
    m.CommInit: {"device": u32, "rank": u32, "world": u32, "port": u32, "host": hosts()},
    m.CommAllreduce: {"device": u32, "tensor": tensors()},
    m.CommFree: {"device": u32},
}

REPLY_FIELDS: Mapping[type[m.Reply], Mapping[str, st.SearchStrategy[Any]]] = {
    m.HelloReply: {"major": u8, "minor": u8, "patch": u8, "conn_caps": caps},
    m.DeviceCountReply: {"count": u32},
    m.AlignmentReply: {"alignment": u64},
    m.MaxSizeReply: {"max_size": u64},
    m.DeviceMemoryReply: {"free": u64, "total": u64},
    m.AllocBufferReply: {"handle": u64, "size": u64},
    m.BufferBaseReply: {"base": u64},
    m.SetTensorHashReply: {"found": u8},
    m.TensorData: {"size": bulk},
    m.CopyTensorReply: {"ok": u8},
    m.AllocSizeReply: {"size": u64},
    m.CommInitReply: {"ok": u8},
}


def request(kind: type[m.Request], dialect: Dialect) -> st.SearchStrategy[m.Request]:
    """Requests of one class that the dialect can carry: graphs have no uid before there was one."""
    fields = dict(REQUEST_FIELDS[kind])
    struct = dialect.commands[kind.command].request
    if "uid" in fields and struct and "uid" not in {field.name for field in dialect.structs[struct].fields}:
        fields["uid"] = st.just(0)
    return st.builds(kind, **fields)


def reply(kind: type[m.Reply]) -> st.SearchStrategy[m.Reply]:
    """Replies of one class."""
    return st.builds(kind, **REPLY_FIELDS[kind])


def reply_to(asked: m.Request) -> st.SearchStrategy[m.Reply]:
    """Replies that `asked` may be answered with."""
    if asked.reply_bytes is not None:
        return st.just(m.TensorData(asked.reply_bytes))
    return reply(m.REPLIES[asked.command])


def requests(dialect: Dialect) -> st.SearchStrategy[m.Request]:
    """Any request of the dialect but HELLO, which stands first and once."""
    kinds = [m.REQUESTS[Command(number)] for number in dialect.commands if number != Command.HELLO]
    return st.one_of(*[request(kind, dialect) for kind in kinds])
