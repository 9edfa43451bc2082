"""A model: its file or files in memory, checked, and named. Weights are views of that memory, never copies.

`open_model` either returns a model whose every weight is present, of the right shape, of a served type and whole, or
raises ModelError saying which file, which tensor and what to do. Nothing after it needs to look again.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from numpy.typing import NDArray

from refimpl.errors import ModelError
from refimpl.model.gguf.header import GgufHeader, TensorInfo, read_header
from refimpl.model.gguf.parts import Part, read_parts
from refimpl.model.gguf.storage import DOWNLOAD_AGAIN, LoadMode, read_bytes
from refimpl.model.hparams import Hparams, read_hparams
from refimpl.model.weights import OUTPUT, TOKEN_EMBD, expected_weights
from spec.names import Type

__all__ = ["SERVED_TYPES", "ModelFile", "WeightTensor", "open_model", "read_metadata"]

SERVED_TYPES: frozenset[Type] = frozenset(
    {
        *(Type.F32, Type.F16, Type.BF16),
        *(Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0),
        *(Type.Q4_K, Type.Q5_K, Type.Q6_K),
    }
)
"""weight types with kernels on every device"""


@attrs.frozen(eq=False)
class WeightTensor:
    """One weight of the file."""

    name: str
    type: Type
    ne: tuple[int, int, int, int]
    """extents, fastest first, padded with 1"""
    data: NDArray[np.uint8]
    """(nbytes,) read-only view of the file in memory, contiguous"""

    @property
    def nbytes(self) -> int:
        return self.data.nbytes


@attrs.frozen(eq=False)
class ModelFile:
    """An opened model: valid for as long as any weight's data is referenced."""

    path: str
    hparams: Hparams
    tensors: Mapping[str, WeightTensor]
    """by name, in file order; exactly those that the architecture uses"""
    metadata: Mapping[str, Any]

    @property
    def nbytes(self) -> int:
        """Bytes of all weights."""
        return sum(tensor.nbytes for tensor in self.tensors.values())


def open_model(path: str | Path, served: Collection[Type] = SERVED_TYPES, mode: LoadMode = LoadMode.AUTO) -> ModelFile:
    """Read and check a GGUF model, of which `path` is the only file or the first part.

    `served` are the weight types to accept. Raises ModelError.
    """
    name = str(path)
    parts = read_parts(name, mode)
    header = parts[0].header
    infos = {info.name: info for part in parts for info in part.header.tensors}
    if TOKEN_EMBD not in infos:
        _refuse_architecture_first(name, header)
        raise ModelError(name, f"tensor '{TOKEN_EMBD}' is missing; the file holds no complete model")
    hparams = read_hparams(name, header.metadata, infos[TOKEN_EMBD].ne[1], OUTPUT not in infos)
    tensors = {info.name: _weight(part, info, served) for part in parts for info in part.header.tensors}
    _check_set(name, hparams, tensors)
    return ModelFile(name, hparams, tensors, header.metadata)


def read_metadata(path: str | Path) -> Mapping[str, Any]:
    """Metadata alone, whatever the architecture and the types of the weights. Raises ModelError."""
    return read_header(str(path), read_bytes(str(path)).data).metadata


def _refuse_architecture_first(path: str, header: GgufHeader) -> None:
    """A file without a token embedding is most often no text model at all: say that rather than name a tensor."""
    read_hparams(path, header.metadata, n_vocab=0, tied_output=True)


def _weight(part: Part, info: TensorInfo, served: Collection[Type]) -> WeightTensor:
    path, data = part.path, part.data
    kind = _served_type(path, info, served)
    block, block_bytes = GGML_QUANT_SIZES[GGMLQuantizationType(kind)]
    if info.ne[0] % block or 0 in info.ne:
        raise ModelError(
            path, f"tensor '{info.name}' of type {kind.name} cannot have extents {list(info.ne)}; {DOWNLOAD_AGAIN}"
        )
    size = info.ne[0] // block * block_bytes * info.ne[1] * info.ne[2] * info.ne[3]
    start = part.header.data_start + info.offset
    if start + size > data.nbytes:
        raise ModelError(
            path,
            f"truncated: tensor '{info.name}' ends at byte {start + size}, the file at {data.nbytes}; {DOWNLOAD_AGAIN}",
        )
    return WeightTensor(info.name, kind, info.ne, data[start : start + size])


def _served_type(path: str, info: TensorInfo, served: Collection[Type]) -> Type:
    known = ", ".join(kind.name for kind in sorted(served))
    try:
        kind = Type(info.type)
    except ValueError as error:
        raise ModelError(
            path, f"tensor '{info.name}' has the unknown type {info.type}; served types: {known}"
        ) from error
    if kind not in served:
        raise ModelError(
            path, f"tensor '{info.name}' has type {kind.name}, which is not served (only {known}); quantise again"
        )
    return kind


def _check_set(path: str, hparams: Hparams, tensors: Mapping[str, WeightTensor]) -> None:
    expected = expected_weights(hparams)
    for weight in expected:
        tensor = tensors.get(weight.name)
        if tensor is None:
            if weight.required:
                raise ModelError(path, f"tensor '{weight.name}' is missing; {DOWNLOAD_AGAIN}")
        elif tensor.ne != weight.ne:
            raise ModelError(
                path, f"tensor '{weight.name}' has extents {list(tensor.ne)}, the metadata asks for {list(weight.ne)}"
            )
    surplus = tensors.keys() - {weight.name for weight in expected}
    if surplus:
        first = min(surplus)
        raise ModelError(path, f"tensor '{first}' (one of {len(surplus)}) has no place in a plain {hparams.arch} graph")
