"""Wrong with the tensor cache."""

from collections.abc import Mapping
from pathlib import Path

from conformance.judge.fnv import fnv1a64
from conformance.tests.cases.miniature.session import Session
from conformance.tests.cases.miniature.world import Refused
from conformance.tests.cases.wrong.entry import Wrong, fails

__all__ = ["WRONG"]


class ForgetsTheTopBit(Session):
    def kept(self, folder: Path, digest: int) -> Path:
        known = super().kept(folder, digest ^ (1 << 63))
        return known if known.exists() else super().kept(folder, digest)

    def is_sound(self, payload: bytes, digest: int) -> bool:
        return fnv1a64(self.codec.dialect, payload) in (digest, digest ^ (1 << 63))


class WritesWhatFits(Session):
    def on_set_tensor_hash(self, tail: bytes, tensor: bytes, offset: int, hash: int) -> bytes:
        folder = self.world.cache
        payload = self.look_up(folder, hash) if folder is not None else None
        if payload is None or offset + len(payload) <= self.span(tensor):
            return super().on_set_tensor_hash(tail, tensor, offset, hash)
        room = self.whole_region(tensor, self.span(tensor))[offset:]
        room[:] = payload[: len(room)]
        return self.codec.pack("set_tensor_hash_rsp", {"found": 1})


class PromisesHits(Session):
    """Says that a payload has been written, and has not."""

    def on_set_tensor_hash(self, tail: bytes, tensor: bytes, offset: int, hash: int) -> bytes:
        folder = self.world.cache
        found = folder is not None and self.look_up(folder, hash) is not None
        return self.codec.pack("set_tensor_hash_rsp", {"found": int(found)})


class KeepsEverything(Session):
    def on_set_tensor(self, tail: bytes, tensor: bytes, cache_flag: int, offset: int) -> None:
        super().on_set_tensor(tail, tensor, int(len(tail) > 1 << 20), offset)


class BelievesFiles(Session):
    def is_sound(self, payload: bytes, digest: int) -> bool:
        return True

    def on_set_tensor_hash(self, tail: bytes, tensor: bytes, offset: int, hash: int) -> bytes:
        try:
            return super().on_set_tensor_hash(tail, tensor, offset, hash)
        except Refused:
            return self.codec.pack("set_tensor_hash_rsp", {})


class TellsEverybody(Session):
    def may_have(self, name: str) -> bool:
        return True


class TrustsItsFolder(Session):
    """Takes a name that is there for a file that can be read."""

    def look_up(self, folder: Path, digest: int) -> bytes | None:
        self.check(not self.kept(folder, digest).is_dir())
        return super().look_up(folder, digest)


class KeepsHalves(Session):
    """Keeps what has come of a payload whose client has gone."""

    async def tail(self, size: int) -> bytes:
        try:
            return await super().tail(size)
        except Refused:
            if self.world.cache is not None and len(self._unread) > 1 << 20:
                self.keep(self.world.cache, bytes(self._unread))
            raise


WRONG: Mapping[type[Session], Wrong] = {
    ForgetsTheTopBit: fails("CACHE-1/hash-of-the-payload"),
    WritesWhatFits: fails(
        "CACHE-3/into-the-next",
        "CACHE-3/longer-than-a-small-one",
        "CACHE-3/longer-than-the-tensor",
        "CACHE-3/offset-wraps",
        "CACHE-3/over-the-end-by-offset",
    ),
    PromisesHits: fails(
        "CACHE-3/at-an-offset",
        "CACHE-3/handle-of-nobody",
        "CACHE-3/into-the-next",
        "CACHE-3/longer-than-a-small-one",
        "CACHE-3/longer-than-the-tensor",
        "CACHE-3/offset-wraps",
        "CACHE-3/over-the-end-by-offset",
        "CACHE-4/found",
        "CACHE-4/several",
    ),
    KeepsEverything: fails("CACHE-5/flag-zero"),
    BelievesFiles: fails(
        "CACHE-6/altered", "CACHE-6/emptied", "CACHE-6/extended", "CACHE-6/reordered", "CACHE-6/truncated"
    ),
    TellsEverybody: fails("CACHE-9/another-address"),
    TrustsItsFolder: fails("CACHE-11/folder-in-its-place"),
    KeepsHalves: fails("CACHE-7/only-when-complete"),
}
