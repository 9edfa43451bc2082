"""The judge's codec packs by spec/data: known bytes, both ways, and nothing that the data does not know."""

import pytest

from conformance.judge.codec import Codec, Value
from spec.load import load

SEVEN, EIGHT = (Codec(load().dialect(version)) for version in ("7.0.0", "8.0.0"))


def test_a_request_is_command_size_and_body() -> None:
    assert SEVEN.request("HELLO") == bytes([14, 24, *bytes(7), *bytes(24)])
    assert SEVEN.request("DEVICE_COUNT") == bytes([15, *bytes(8)])


def test_numbers_are_little_endian_and_packed() -> None:
    assert SEVEN.body("ALLOC_BUFFER", device=1, size=0x0203) == bytes([1, 0, 0, 0, 3, 2, 0, 0, 0, 0, 0, 0])


def test_a_dialect_brings_its_own_fields() -> None:
    assert len(SEVEN.body("GRAPH_RECOMPUTE", device=0)) == 4
    assert EIGHT.body("GRAPH_RECOMPUTE", device=0, uid=5) == bytes(4) + bytes([5, *bytes(7)])


def test_what_is_packed_is_unpacked() -> None:
    values: dict[str, Value] = {
        "id": 3,
        "type": 24,
        "ne": (1, 2, 3, 4),
        "flags": -5,
        "name": b"x" * 64,
        "data": (1 << 64) - 1,
    }
    record = SEVEN.pack("rpc_tensor", values)
    assert len(record) == 296
    assert {name: value for name, value in SEVEN.unpack("rpc_tensor", record).items() if name in values} == values
    assert SEVEN.read("rpc_tensor", "flags", record) == -5


def test_a_field_that_does_not_exist_is_an_error_of_the_case() -> None:
    with pytest.raises(KeyError, match="uid"):
        SEVEN.request("GRAPH_RECOMPUTE", device=0, uid=5)


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [("id", 1 << 64, OverflowError), ("ne", (1, 2), ValueError), ("name", b"short", ValueError)],
)
def test_a_value_that_does_not_fit_is_an_error_of_the_case(field: str, value: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        SEVEN.pack("rpc_tensor", {field: value})  # type: ignore[dict-item]


def test_a_struct_of_another_size_is_not_unpacked() -> None:
    with pytest.raises(ValueError, match="28 bytes, not 27"):
        SEVEN.unpack("hello_rsp", bytes(27))
