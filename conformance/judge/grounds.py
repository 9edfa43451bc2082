"""What of a testee is within reach besides its port: its process's mapped addresses, its cache folder, other ways in.

Rules
- Only a testee that the judge has started has any; NotOffered says what is lacking.
- Files are found by their names wherever they stand below the cache folder: where a server puts them there is its own
  business.
"""

from collections.abc import Iterator
from pathlib import Path

import attrs
import trio

from conformance.judge.steps import CacheFiles, Damage, Kept, Mapped, Mappings, NotOffered, OfTestee, Remove

__all__ = ["Grounds"]

HOST = "127.0.0.1"


@attrs.frozen
class Grounds:
    """pid: the testee's process, if it is known; cache: the folder that it was given for its tensor cache; port: where
    it listens on this machine, if it does.
    """

    pid: int | None = None
    cache: Path | None = None
    port: int | None = None

    async def dial_from(self, origin: str) -> trio.abc.HalfCloseableStream:
        """Open a connection from that address of this machine; OSError where nobody takes it."""
        if self.port is None:
            raise NotOffered("a port on this machine, to be reached from several of its addresses")
        return await trio.open_tcp_stream(HOST, self.port, local_address=origin)

    def perform(self, step: OfTestee) -> Mapped | Kept | None:
        """Carry out one step."""
        match step:
            case Mappings():
                return Mapped(tuple(self.spans()))
            case CacheFiles():
                return Kept({path.name: path.stat().st_size for path in self._files()})
            case Damage(name, data):
                self._file(name).write_bytes(data)
            case Remove(name, blocked):
                place = self._file(name)
                place.unlink()
                if blocked:
                    place.mkdir()
        return None

    def spans(self) -> Iterator[tuple[int, int]]:
        """Address ranges that the process has mapped."""
        maps = Path(f"/proc/{self.pid}/maps")
        if self.pid is None or not maps.exists():
            raise NotOffered("a process whose mapped addresses can be looked up")
        for line in maps.read_text().splitlines():
            begin, _, end = line.split()[0].partition("-")
            yield int(begin, 16), int(end, 16)

    def _files(self) -> list[Path]:
        if self.cache is None:
            raise NotOffered("a cache folder that can be looked into")
        return sorted(path for path in self.cache.rglob("*") if path.is_file())

    def _file(self, name: str) -> Path:
        for path in self._files():
            if path.name == name:
                return path
        raise NotOffered(f"a file {name} in its cache folder")
