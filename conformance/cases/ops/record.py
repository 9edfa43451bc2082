"""Record what stock llama.cpp computes for the samples whose definitions are intricate: a second witness.

    python -m conformance.cases.ops.record          # writes vectors/stock.npz and vectors/stock.json

Rules
- The judge never compares with these numbers: what is expected comes from definitions/. The vectors show that the
  definitions say what upstream's server does, without a server at hand (tests/ops/test_vectors.py).
- A vector is kept with a digest of the graph's records and of all that was uploaded. When a sample changes, its vector
  is stale, and the test says so.
- What was run is written down beside the numbers: program, version, build, day, and how to record again.
"""

import datetime
import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import trio
from numpy.typing import NDArray

from conformance.cases.graph.placed import Placed, computed
from conformance.cases.ops.listed import ENTRIES
from conformance.cases.ops.sample import Entry, Sample
from conformance.cases.talk import Buffer
from conformance.judge.case import Case, Script
from conformance.judge.codec import Codec
from conformance.judge.run import conduct
from conformance.judge.steps import Talk
from conformance.judge.testee import Spawned
from conformance.judge.verdict import Verdict
from conformance.testees import command_of, known
from spec.load import load

__all__ = ["NUMBERS", "PROVENANCE", "digest", "folder", "recorded_entries", "vector_names"]

NUMBERS, PROVENANCE = "stock.npz", "stock.json"
TESTEE = "stock-7.0.0"
AGAIN = "python -m conformance.cases.ops.record"
INTRICATE = frozenset(
    {
        *("UPSCALE", "TIMESTEP_EMBEDDING", "POOL_1D", "POOL_2D", "POOL_2D_BACK", "WIN_PART", "WIN_UNPART"),
        *("GET_REL_POS", "ADD_REL_POS", "IM2COL_3D", "CONV_3D", "COL2IM_1D", "CONV_TRANSPOSE_2D", "FLASH_ATTN_BACK"),
        *("SSM_CONV", "SSM_SCAN", "RWKV_WKV6", "RWKV_WKV7", "GATED_LINEAR_ATTN", "GATED_DELTA_NET", "SOLVE_TRI"),
        *("LIGHTNING_INDEXER", "DSV4_HC_COMB", "DSV4_HC_PRE", "DSV4_HC_POST", "OPT_STEP_ADAMW", "ROPE", "ROPE_BACK"),
    }
)
"""ops whose sentence takes more than one look"""
MOST_ELEMENTS = 10_000
TIMEOUT = 20.0


def folder() -> Path:
    """Where the vectors are."""
    return Path(str(resources.files("conformance.cases.ops"))) / "vectors"


def recorded_entries() -> tuple[Entry, ...]:
    """The samples that have a vector."""
    wanted = [entry for entry in ENTRIES.values() if entry.op in INTRICATE and entry.ordinary]
    return tuple(entry for entry in wanted if _elements(entry.sample()) <= MOST_ELEMENTS)


def _elements(sample: Sample) -> int:
    return sum(expected.want.size for expected in sample.expected)


def vector_names(entry: Entry, sample: Sample) -> tuple[str, ...]:
    """A name for each result of a sample, as the vectors have it."""
    return tuple(f"{entry.name}/{place}" for place in range(len(sample.expected)))


def digest(codec: Codec, sample: Sample) -> str:
    """Of the records, as they are in a buffer at address 0, and of all bytes that are uploaded."""
    said = hashlib.sha256(b"".join(Placed(codec, sample.graph, Buffer(0, 0, 0)).records()))
    for tensor in sample.graph.tensors:
        said.update(tensor.data)
    return said.hexdigest()


def _kept(sample: Sample, bodies: list[bytes]) -> Script:
    """The script that keeps what the testee computed."""

    def script(codec: Codec) -> Talk[None]:
        bodies.extend((yield from computed(codec, sample.graph)))

    return script


async def _recorded(testee: Spawned, codec: Codec) -> tuple[Mapping[str, NDArray[np.uint8]], Mapping[str, str]]:
    """Name > bytes of a result, and sample > digest; ValueError when the testee does not compute a sample."""
    numbers: dict[str, NDArray[np.uint8]] = {}
    digests: dict[str, str] = {}
    for entry in recorded_entries():
        sample, bodies = entry.sample(), list[bytes]()
        case = Case(id=f"{entry.clause}/{entry.slug}", title=entry.title, script=_kept(sample, bodies))
        outcome = await conduct(case, codec, testee.dial, TIMEOUT)
        if outcome.verdict is not Verdict.PASS:
            raise ValueError(f"{case.id}: {outcome.verdict}: expected {outcome.expected}, came {outcome.came}")
        for name, body in zip(vector_names(entry, sample), bodies, strict=True):
            numbers[name] = np.frombuffer(body, np.uint8)
        digests[entry.name] = digest(codec, sample)
    return numbers, digests


async def _main() -> None:
    stock = known()[TESTEE]
    codec = Codec(load().dialect(stock.proto))
    with TemporaryDirectory() as place:
        async with Spawned(await command_of(stock), Path(place) / "log", codec) as testee:
            numbers, digests = await _recorded(testee, codec)
    np.savez_compressed(folder() / NUMBERS, **numbers)  # type: ignore[arg-type]
    provenance = {
        "program": "ggml-rpc-server",
        "testee": TESTEE,
        "what": stock.doc,
        "protocol": stock.proto,
        "day": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "again": AGAIN,
        "digests": digests,
    }
    (folder() / PROVENANCE).write_text(json.dumps(provenance, indent=1) + "\n", "utf-8")
    print(f"{len(numbers)} results of {len(digests)} samples")


if __name__ == "__main__":
    trio.run(_main)
