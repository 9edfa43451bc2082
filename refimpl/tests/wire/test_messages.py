"""There is one message class per request and reply of the specification, and a strategy for each."""

from typing import Any

import attrs
import numpy as np
import pytest

from refimpl.tests import strategies
from refimpl.wire.messages import REPLIES, REQUESTS, GraphCompute, SetTensor, TensorData
from refimpl.wire.tensor import RPC_TENSOR
from spec.load import load
from spec.names import Command

NEWEST = load().dialect(load().newest)


def test_every_command_of_the_newest_dialect_has_a_request_class() -> None:
    assert set(REQUESTS) == {Command(number) for number in NEWEST.commands}


def test_every_answered_command_has_a_reply_class_and_no_other() -> None:
    assert set(REPLIES) == {Command(number) for number, command in NEWEST.commands.items() if command.answered}


def test_every_message_class_has_a_strategy() -> None:
    assert set(strategies.REQUEST_FIELDS) == set(REQUESTS.values())
    assert set(strategies.REPLY_FIELDS) == set(REPLIES.values())


@pytest.mark.parametrize("command", sorted(REQUESTS))
def test_request_attributes_are_the_struct_fields_plus_what_head_and_tail_carry(command: Command) -> None:
    definition = NEWEST.commands[command]
    named = {field.name for field in NEWEST.structs[definition.request].fields} if definition.request else set()
    if definition.tail == "bytes":
        named |= {"size"}
    if definition.tail == "graph":
        named = named - {"n_nodes"} | {"nodes", "tensors", "body"}
    assert {field.name for field in attrs.fields(REQUESTS[command])} == named


@pytest.mark.parametrize("command", sorted(REPLIES))
def test_reply_attributes_are_the_struct_fields(command: Command) -> None:
    struct = NEWEST.commands[command].reply or ""
    named = {"size"} if struct == "bytes" else {field.name for field in NEWEST.structs[struct].fields} - {"padding"}
    assert {field.name for field in attrs.fields(REPLIES[command])} == named


def set_tensor(name: bytes) -> SetTensor:
    record = np.zeros(1, RPC_TENSOR)
    record["name"] = name
    return SetTensor(record[0], cache_flag=0, offset=0, size=4)


def graph(uid: int) -> GraphCompute:
    return GraphCompute(device=0, uid=uid, nodes=np.array([7], np.uint64), tensors=np.zeros(1, RPC_TENSOR))


def test_messages_compare_by_the_content_of_their_records() -> None:
    assert set_tensor(b"a") == set_tensor(b"a")
    assert hash(set_tensor(b"a")) == hash(set_tensor(b"a"))
    assert set_tensor(b"a") != set_tensor(b"b")
    assert graph(1) == graph(1)
    assert hash(graph(1)) == hash(graph(1))
    assert graph(1) != graph(2)


def test_messages_cannot_be_changed() -> None:
    message: Any = TensorData(5)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        message.size = 6
