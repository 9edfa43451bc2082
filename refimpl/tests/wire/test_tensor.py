"""The tensor record's dtype is the struct of the specification."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from refimpl.wire import tensor
from refimpl.wire.tensor import RPC_TENSOR, geometry
from spec.dialect import StructDef
from spec.load import load

KINDS = {"u32": "<u4", "u64": "<u8", "i32": "<i4"}
RECORDS = [load().dialect(version).structs["rpc_tensor"] for version in load().versions]


@pytest.mark.parametrize("record", RECORDS, ids=load().versions)
def test_dtype_has_the_fields_of_the_spec_in_its_order_and_places(record: StructDef) -> None:
    assert RPC_TENSOR.itemsize == record.size
    assert RPC_TENSOR.names == tuple(field.name for field in record.fields)
    places: Mapping[str, Any] = RPC_TENSOR.fields or {}
    for field in record.fields:
        dtype, offset = places[field.name][:2]
        assert offset == field.offset, field.name
        assert dtype.itemsize == field.size, field.name
        if field.type == "char":
            assert dtype == np.dtype(f"S{field.count}")
        else:
            assert dtype.base == np.dtype(KINDS[field.type]), field.name
            assert dtype.shape == ((field.count,) if field.count > 1 else ()), field.name


@pytest.mark.parametrize("version", load().versions)
def test_counts_are_the_constants_of_the_spec(version: str) -> None:
    dialect = load().dialect(version)
    assert dialect.constant("MAX_DIMS") == tensor.GGML_MAX_DIMS
    assert dialect.constant("MAX_SRC") == tensor.GGML_MAX_SRC
    assert dialect.constant("MAX_OP_PARAMS") == tensor.GGML_MAX_OP_PARAMS * 4
    assert dialect.constant("MAX_NAME") == tensor.GGML_MAX_NAME


def test_a_name_that_ends_in_nul_keeps_all_its_bytes_in_the_record() -> None:
    raw = bytes(range(1, 9)) * 37
    assert np.frombuffer(raw, RPC_TENSOR)[0].tobytes() == raw


@pytest.mark.parametrize("seed", range(3))
def test_the_geometry_of_a_record_is_what_its_fields_say(seed: int) -> None:
    records = np.frombuffer(np.random.default_rng(seed).bytes(3 * RPC_TENSOR.itemsize), RPC_TENSOR)
    for record in records:
        fields = [record[name].tolist() for name in ("type", "buffer", "ne", "nb", "data")]
        assert [list(value) if isinstance(value, tuple) else value for value in geometry(record)] == fields
