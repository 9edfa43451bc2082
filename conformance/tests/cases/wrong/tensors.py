"""Wrong with records and regions."""

from collections.abc import Mapping

from conformance.judge.codec import Value
from conformance.tests.cases.miniature.session import Session
from conformance.tests.cases.miniature.world import TOP, Dead
from conformance.tests.cases.wrong.entry import Wrong, crashes, fails, hangs

__all__ = ["WRONG"]

WITHDRAWN, HEIR = 4, "Q4_0"


class DiesOfOps(Session):
    def on_init_tensor(self, tail: bytes, tensor: bytes) -> bytes | None:
        if self.read(tensor, "op") > len(self.codec.dialect.ops):
            raise Dead("a table of names ended before that")
        return super().on_init_tensor(tail, tensor)


class TakesAnyTopBit(Session):
    def type_of(self, tensor: bytes) -> int:
        kind = super().type_of(tensor)
        return self.codec.dialect.type("I8").number if kind == 1 << 31 else kind


class KnowsOldTypes(Session):
    def type_of(self, tensor: bytes) -> int:
        kind = super().type_of(tensor)
        return self.codec.dialect.type(HEIR).number if kind == WITHDRAWN else kind


class TakesGapsForNothing(Session):
    """Multiplies extents instead of looking at strides."""

    def span(self, tensor: bytes) -> int:
        size = super().span(tensor)
        ne = self.record(tensor)["ne"]
        assert isinstance(ne, tuple)
        return self.elements(ne) if ne == (8, 3, 1, 1) else size


class WrapsProducts(Session):
    def elements(self, ne: tuple[int, ...]) -> int:
        return super().elements(ne) % TOP if ne[0] == 1 << 16 else super().elements(ne)


class TakesHalfBlocks(Session):
    def whole_blocks(self, elements: int, block: int) -> bool:
        return True


class WantsSaneStrides(Session):
    def span(self, tensor: bytes) -> int:
        ne, nb = (self.record(tensor)[field] for field in ("ne", "nb"))
        assert isinstance(ne, tuple) and isinstance(nb, tuple)  # noqa: PT018
        self.check(0 in ne or 0 not in nb)
        return super().span(tensor)


class ReadsAbsentOperands(Session):
    def operands(self, srcs: bytes) -> list[bytes]:
        step = self.codec.size("rpc_tensor")
        records = [srcs[at : at + step] for at in range(0, len(srcs), step)]
        return [record for record in records if any(record)]


class WantsNoParameters(Session):
    def on_init_tensor(self, tail: bytes, tensor: bytes) -> bytes | None:
        self.check(not any(self.record(tensor)["op_params"]))  # type: ignore[arg-type]
        return super().on_init_tensor(tail, tensor)


class WantsKnownFlags(Session):
    def on_init_tensor(self, tail: bytes, tensor: bytes) -> bytes | None:
        self.check(self.read(tensor, "flags") < 32)
        return super().on_init_tensor(tail, tensor)


class LooksForOperands(Session):
    def on_init_tensor(self, tail: bytes, tensor: bytes) -> bytes | None:
        self.check(not any(self.record(tensor)["src"]))  # type: ignore[arg-type]
        return super().on_init_tensor(tail, tensor)


class DiesOfNames(Session):
    def on_init_tensor(self, tail: bytes, tensor: bytes) -> bytes | None:
        name = self.record(tensor)["name"]
        assert isinstance(name, bytes)
        if not name.isascii():
            raise Dead("the name of a tensor is no text")
        return super().on_init_tensor(tail, tensor)


class AddsOffsets(Session):
    def whole_region(self, tensor: bytes, size: int) -> memoryview:
        offset = self.read(tensor, "view_offs") if size == 16 or size == 8 else 0
        moved = self.codec.pack("rpc_tensor", {**self.record(tensor), "data": self.read(tensor, "data") + offset})
        return super().whole_region(moved, size)


class WrapsSpans(Session):
    def summed(self, size: int) -> int:
        return size % TOP


class FillsUpWithZeros(Session):
    """Lets a region end behind its buffer."""

    def whole_region(self, tensor: bytes, size: int) -> memoryview:
        held = self.find(self.read(tensor, "buffer"))
        begin = self.read(tensor, "data") - held.base
        if 0 <= begin <= len(held.memory) < begin + size <= len(held.memory) + 64:
            return memoryview(bytearray(held.memory[begin:].ljust(size, b"\0")))
        return super().whole_region(tensor, size)


class WrapsAround(Session):
    def on_get_tensor(self, tail: bytes, tensor: bytes, offset: int, size: int) -> bytes:
        if (offset + size) % TOP != offset + size and size == 8:
            return bytes(size)
        return super().on_get_tensor(tail, tensor, offset, size)


class ReadsPastTheEnd(Session):
    def on_get_tensor(self, tail: bytes, tensor: bytes, offset: int, size: int) -> bytes:
        held = self.find(self.read(tensor, "buffer"))
        begin = self.read(tensor, "data") - held.base + offset
        if self.span(tensor) == 64 and offset == 64 and size == 8:
            return bytes(held.memory[begin : begin + size])
        return super().on_get_tensor(tail, tensor, offset, size)


class AwaitsThePayload(Session):
    """Looks at the region when all of the payload has come."""

    def before_tail(self, name: str, values: Mapping[str, Value], size: int) -> None:
        pass


class WritesNowhere(Session):
    def on_memset_tensor(self, tail: bytes, tensor: bytes, offset: int, size: int, value: int) -> None:
        if self.read(tensor, "buffer") or not size:
            super().on_memset_tensor(tail, tensor, offset, size, value)


class FillsNowhere(Session):
    def on_memset_tensor(self, tail: bytes, tensor: bytes, offset: int, size: int, value: int) -> None:
        if size:
            super().on_memset_tensor(tail, tensor, offset, size, value)


class WantsElements(Session):
    def on_get_tensor(self, tail: bytes, tensor: bytes, offset: int, size: int) -> bytes:
        self.check(self.span(tensor) > 0 or self.read(tensor, "data") != 0)
        return super().on_get_tensor(tail, tensor, offset, size)


WRONG: Mapping[type[Session], Wrong] = {
    DiesOfOps: crashes("TENSOR-1/init-tensor-op-of-no-table"),
    TakesAnyTopBit: fails(
        "TENSOR-2/copy-tensor-dst-type-2-31",
        "TENSOR-2/get-alloc-size-type-2-31",
        "TENSOR-2/get-tensor-type-2-31",
        "TENSOR-2/init-tensor-type-2-31",
        "TENSOR-2/memset-tensor-type-2-31",
        "TENSOR-2/set-tensor-type-2-31",
    ),
    KnowsOldTypes: fails(
        "TENSOR-3/copy-tensor-dst-type-4",
        "TENSOR-3/copy-tensor-src-type-4",
        "TENSOR-3/get-alloc-size-type-4",
        "TENSOR-3/init-tensor-type-4",
    ),
    TakesGapsForNothing: fails("TENSOR-4/strided"),
    WrapsProducts: fails("TENSOR-5/copy-tensor-dst-elements-wrap", "TENSOR-5/get-alloc-size-elements-wrap"),
    TakesHalfBlocks: fails("TENSOR-6/get-tensor-half-a-block", "TENSOR-6/set-tensor-half-a-block"),
    WantsSaneStrides: fails("TENSOR-7/strides-as-they-stand"),
    ReadsAbsentOperands: fails("TENSOR-8/absent-means-absent"),
    WantsNoParameters: fails("TENSOR-9/init-tensor-parameters-of-no-op"),
    WantsKnownFlags: fails("TENSOR-10/init-tensor-unknown-flags"),
    LooksForOperands: fails("TENSOR-11/init-tensor-names-of-nobody"),
    DiesOfNames: crashes("TENSOR-12/init-tensor-hostile-name"),
    AddsOffsets: fails("TENSOR-14/data-is-complete", "TENSOR-14/outside-a-graph"),
    WrapsSpans: fails(
        "TENSOR-16/copy-tensor-src-span-wraps",
        "TENSOR-16/get-alloc-size-span-wraps",
        "TENSOR-16/init-tensor-span-wraps",
    ),
    FillsUpWithZeros: fails(
        "COPY-2/over-the-end",
        "COPY-3/too-long",
        "REGION-1/get-tensor-behind-the-buffer",
        "REGION-1/get-tensor-extent-too-long",
        "REGION-1/get-tensor-over-the-end",
        "REGION-1/set-tensor-behind-the-buffer",
        "REGION-1/set-tensor-extent-too-long",
        "REGION-1/set-tensor-over-the-end",
        "REGION-3/get-tensor-beyond-the-buffer",
        "REGION-3/set-tensor-beyond-the-buffer",
    ),
    WrapsAround: fails("REGION-2/get-tensor-sum-wraps"),
    ReadsPastTheEnd: fails("REGION-2/get-tensor-into-the-next"),
    AwaitsThePayload: hangs("SET-4/set-tensor-before-its-payload"),
    WritesNowhere: fails("REGION-5/memset-tensor-no-buffer"),
    FillsNowhere: fails("MEMSET-2/size-zero"),
    WantsElements: fails("REGION-6/no-elements-anywhere"),
}
