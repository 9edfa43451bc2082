"""Wrong with the bytes that are moved."""

from collections.abc import Mapping

from conformance.tests.cases.miniature.session import Session
from conformance.tests.cases.wrong.entry import Wrong, fails, hangs

__all__ = ["WRONG"]


class WantsAPayload(Session):
    def on_set_tensor(self, tail: bytes, tensor: bytes, cache_flag: int, offset: int) -> None:
        self.check(len(tail) > 0 or offset != 3)
        super().on_set_tensor(tail, tensor, cache_flag, offset)


class ForgetsOffsets(Session):
    def on_set_tensor(self, tail: bytes, tensor: bytes, cache_flag: int, offset: int) -> None:
        self.region(tensor, offset, len(tail))
        super().on_set_tensor(tail, tensor, cache_flag, 0)


class AnswersPayloads(Session):
    def on_set_tensor(self, tail: bytes, tensor: bytes, cache_flag: int, offset: int) -> bytes | None:  # type: ignore[override]
        super().on_set_tensor(tail, tensor, cache_flag, offset)
        return b"" if len(tail) == 200 else None


class ReadsFromTheFront(Session):
    def on_get_tensor(self, tail: bytes, tensor: bytes, offset: int, size: int) -> bytes:
        self.region(tensor, offset, size)
        return super().on_get_tensor(tail, tensor, 0, size)


class ClearsLate(Session):
    """Clears a buffer to 1 when its connection comes to something else but reading."""

    late = 0

    def on_buffer_clear(self, tail: bytes, handle: int, value: int) -> None:
        if value == 1:
            self.late = handle
        else:
            super().on_buffer_clear(tail, handle, value)

    def on_buffer_get_base(self, tail: bytes, handle: int) -> bytes:
        if self.late:
            super().on_buffer_clear(b"", self.late, 1)
        return super().on_buffer_get_base(tail, handle)


class SaysNothingOfNothing(Session):
    async def answer(self, body: bytes) -> None:
        if body:
            await super().answer(body)


class FillsOneMore(Session):
    def on_memset_tensor(self, tail: bytes, tensor: bytes, offset: int, size: int, value: int) -> None:
        super().on_memset_tensor(tail, tensor, offset, size + 1 if size == 100 else size, value)


class PromisesCopies(Session):
    def copy(self, source: memoryview, target: memoryview) -> None:
        pass


class CopiesWhatFits(Session):
    def on_copy_tensor(self, tail: bytes, src: bytes, dst: bytes) -> bytes:
        if self.span(src) == 128:
            return self.codec.pack("copy_tensor_rsp", {"ok": 1})
        return super().on_copy_tensor(tail, src, dst)


class CopiesForward(Session):
    def copy(self, source: memoryview, target: memoryview) -> None:
        for at in range(len(source)):
            target[at] = source[at]


class CopiesNoNothing(Session):
    def copy(self, source: memoryview, target: memoryview) -> None:
        self.check(len(source) > 0)
        super().copy(source, target)


class PadsWithZeros(Session):
    """Fills a tensor that is announced with zeros."""

    def on_init_tensor(self, tail: bytes, tensor: bytes) -> bytes | None:
        super().on_init_tensor(tail, tensor)
        if self.read(tensor, "buffer"):
            region = self.whole_region(tensor, self.span(tensor))
            region[:] = bytes(len(region))
        return None


class WantsAPlace(Session):
    def on_init_tensor(self, tail: bytes, tensor: bytes) -> bytes | None:
        self.find(self.read(tensor, "buffer"))
        return super().on_init_tensor(tail, tensor)


class PacksPieces(Session):
    """Writes pieces side by side."""

    def on_set_tensor_2d(self, tail: bytes, tensor: bytes, offset: int, size: int, n_copies: int, stride: int) -> None:
        super().on_set_tensor_2d(tail, tensor, offset, size, n_copies, min(stride, size))


class LooksAtTheFirstPiece(Session):
    def pieces(self, tensor: bytes, offset: int, size: int, n_copies: int, stride: int) -> memoryview:
        if n_copies == 2 and stride == 64:
            return memoryview(bytearray(self.region(tensor, offset, size)).ljust(256, b"\0"))
        return super().pieces(tensor, offset, size, n_copies, stride)


class TakesNoPieces(Session):
    def on_get_tensor_2d(self, tail: bytes, tensor: bytes, offset: int, size: int, n_copies: int, stride: int) -> bytes:
        return super().on_get_tensor_2d(tail, tensor, offset, size, n_copies, stride) if n_copies else b""


class TakesShortPayloads(Session):
    def on_set_tensor_2d(self, tail: bytes, tensor: bytes, offset: int, size: int, n_copies: int, stride: int) -> None:
        super().on_set_tensor_2d(tail.ljust(size * n_copies, b"\0"), tensor, offset, size, n_copies, stride)


class AnswersGaps(Session):
    def on_get_tensor_2d(self, tail: bytes, tensor: bytes, offset: int, size: int, n_copies: int, stride: int) -> bytes:
        pieces = super().on_get_tensor_2d(tail, tensor, offset, size, n_copies, stride)
        return pieces if stride <= size or n_copies == 1 else bytes(self.pieces(tensor, offset, size, n_copies, stride))


class WantsPiecesApart(Session):
    def pieces(self, tensor: bytes, offset: int, size: int, n_copies: int, stride: int) -> memoryview:
        self.check(n_copies == 1 or stride >= size)
        return super().pieces(tensor, offset, size, n_copies, stride)


class PairsWithAnybody(Session):
    def on_comm_init(self, tail: bytes, **fields: object) -> bytes:
        return self.codec.pack("comm_init_rsp", {"ok": int(fields["world"] != 3)})


class CannotPair(Session):
    def on_comm_init(self, tail: bytes, **fields: object) -> bytes:
        self.check(fields["world"] != 3 or fields["host"] != bytes(64))
        return super().on_comm_init(tail, **fields)


class SumsAlone(Session):
    def on_comm_allreduce(self, tail: bytes, **_: object) -> None:
        pass


class WantsAPair(Session):
    def on_comm_free(self, tail: bytes, device: int) -> None:
        self.check(False)


WRONG: Mapping[type[Session], Wrong] = {
    WantsAPayload: fails("SET-1/no-payload"),
    ForgetsOffsets: fails("GET-2/after-all-before", "REGION-3/up-to-the-end", "SET-2/at-an-offset"),
    AnswersPayloads: fails("SET-3/not-answered"),
    ReadsFromTheFront: fails("GET-1/piece", "REGION-3/up-to-the-end"),
    ClearsLate: fails("GET-2/after-all-before"),
    SaysNothingOfNothing: hangs(
        "GET-3/size-zero",
        "REGION-6/empty-at-the-end",
        "REGION-6/empty-in-the-middle",
        "REGION-6/no-elements",
        "REGION-6/no-elements-anywhere",
        "TENSOR-4/no-extent",
    ),
    FillsOneMore: fails("MEMSET-1/piece"),
    PromisesCopies: fails(
        "COPY-1/between-buffers", "COPY-1/copied", "COPY-3/other-shape", "COPY-5/overlap", "COPY-5/overlap-backwards"
    ),
    CopiesWhatFits: fails("COPY-2/over-the-end", "COPY-3/too-long", "COPY-3/too-long-from-the-middle"),
    CopiesForward: fails("COPY-5/overlap"),
    CopiesNoNothing: fails("COPY-6/no-elements"),
    PadsWithZeros: fails("INIT-2/at-the-end-of-its-buffer", "INIT-2/bytes-stay"),
    WantsAPlace: fails("INIT-3/no-buffer"),
    PacksPieces: fails("STRIDED-1/written", version="8.0.0"),
    LooksAtTheFirstPiece: fails("STRIDED-2/get-tensor-2d-second-piece-behind", version="8.0.0"),
    TakesNoPieces: fails("STRIDED-3/get-tensor-2d-no-pieces", version="8.0.0"),
    TakesShortPayloads: fails("STRIDED-4/payload-empty", "STRIDED-4/payload-short", version="8.0.0"),
    AnswersGaps: fails(
        "LEAK-3/nothing-left-over",
        "PHASE-2/every-command",
        "PHASE-2/every-command-at-once",
        "STRIDED-5/read",
        version="8.0.0",
    ),
    WantsPiecesApart: fails("STRIDED-6/later-over-earlier", "STRIDED-6/read-overlapping", version="8.0.0"),
    PairsWithAnybody: fails(
        "COMM-2/rank-all-ones",
        "COMM-2/rank-behind",
        "COMM-2/world-all-ones",
        "COMM-2/world-of-none",
        "COMM-2/world-of-one",
        version="8.0.0",
    ),
    CannotPair: fails(
        "COMM-4/goes-on",
        "COMM-5/after-a-refused-pairing",
        "LEAK-3/nothing-left-over",
        "PHASE-2/every-command",
        "PHASE-2/every-command-at-once",
        version="8.0.0",
    ),
    SumsAlone: fails("COMM-5/after-a-refused-pairing", "COMM-5/without-a-pair", version="8.0.0"),
    WantsAPair: fails(
        "COMM-6/without-a-pair", "PHASE-2/every-command", "PHASE-2/every-command-at-once", version="8.0.0"
    ),
}
