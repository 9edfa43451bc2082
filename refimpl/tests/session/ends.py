"""Two ends that have greeted each other, and what tests say to them."""

from typing import Any

import numpy as np
import pytest

from refimpl.limits import Limits
from refimpl.session.connection import Connection, Role
from refimpl.session.phases import Phase
from refimpl.wire.messages import Hello, HelloReply, SetTensor
from refimpl.wire.tensor import RPC_TENSOR
from spec.load import load

__all__ = ["LIMITS", "pair", "record", "refused", "set_tensor"]

LIMITS = Limits(tensor_bytes=1 << 20)


def record() -> Any:
    """An all-zero record."""
    return np.zeros(1, RPC_TENSOR)[0]


def set_tensor(size: int) -> SetTensor:
    """A SET_TENSOR that announces `size` bytes."""
    return SetTensor(record(), cache_flag=0, offset=0, size=size)


def pair(version: str = "7.0.0") -> tuple[Connection, Connection]:
    """A client and a server that have greeted each other."""
    dialect = load().dialect(version)
    client, server = Connection(Role.CLIENT, dialect, LIMITS), Connection(Role.SERVER, dialect, LIMITS)
    server.receive(client.send(Hello()))
    assert server.next_event() == Hello()
    client.receive(server.send(HelloReply(*dialect.hello)))
    assert client.next_event() == HelloReply(*dialect.hello)
    assert client.phase is server.phase is Phase.OPEN
    return client, server


def refused(connection: Connection, kind: type[Exception]) -> Any:
    """The error that the next event is; it stays, and closes the connection."""
    with pytest.raises(kind) as caught:
        connection.next_event()
    assert connection.phase is Phase.CLOSED
    with pytest.raises(kind) as again:
        connection.next_event()
    assert again.value is caught.value
    return caught.value
