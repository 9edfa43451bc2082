"""What stock llama.cpp computed for the intricate samples is what their definitions say, without a stock at hand."""

import functools
import json
from typing import Any

import numpy as np
import pytest

from conformance.cases.ops.record import NUMBERS, PROVENANCE, digest, folder, recorded_entries, vector_names
from conformance.cases.ops.sample import Entry
from conformance.judge.codec import Codec
from spec.load import load


@functools.cache
def provenance() -> dict[str, Any]:
    return dict(json.loads((folder() / PROVENANCE).read_text("utf-8")))


@functools.cache
def numbers() -> dict[str, bytes]:
    with np.load(folder() / NUMBERS) as stored:
        return {name: stored[name].tobytes() for name in stored.files}


def test_the_vectors_say_where_they_are_from() -> None:
    assert provenance()["testee"] == "stock-7.0.0"
    assert "build 11434" in provenance()["what"]
    assert set(provenance()["digests"]) == {entry.name for entry in recorded_entries()}


@pytest.mark.parametrize("entry", recorded_entries(), ids=lambda entry: entry.name)
def test_the_definition_says_what_stock_computed(entry: Entry) -> None:
    sample = entry.sample()
    codec = Codec(load().dialect(provenance()["protocol"]))
    assert digest(codec, sample) == provenance()["digests"][entry.name], f"stale: {provenance()['again']}"
    for name, expected in zip(vector_names(entry, sample), sample.expected, strict=True):
        assert expected.complaint(numbers()[name]) is None
