"""Requests in words, for a log that a person reads. Text from a peer is hostile: what is not printable is escaped."""

import math
from typing import Any

import attrs
import numpy as np

from refimpl.wire.messages import Request

__all__ = ["describe"]

HIDDEN = frozenset({"body", "conn_caps"})


def describe(message: Request) -> str:
    """The fields of a request, such as ``tensor='blk.0.attn_q' F32... offset=0 size=2304``."""
    fields = [field.name for field in attrs.fields(type(message)) if field.name not in HIDDEN]
    return " ".join(f"{name}={_in_words(getattr(message, name))}" for name in fields)


def _in_words(value: Any) -> str:
    if isinstance(value, np.void):
        name = bytes(value["name"]).decode("utf-8", "backslashreplace")
        shape = "x".join(map(str, value["ne"].tolist()))
        buffer, data = int(value["buffer"]), int(value["data"])
        return f"{name!r}(type {value['type']}, {shape}, buffer {buffer:#x}, data {data:#x})"
    if isinstance(value, np.ndarray):
        return f"{math.prod(value.shape)} items"
    return str(value)
