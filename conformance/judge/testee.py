"""Who is judged: something that listens already, or a process that is started, watched and started again.

Rules
- A testee is dialled; whether it lives is its own business to tell: `death` waits for a process to end and says how.
- A spawned testee gets a port for `{port}` in its command, and no other address than 127.0.0.1; for `{cache}`, if it
  is there, an empty folder that is its own. What it writes goes to a log file, whose end is shown when it dies. It
  gets SIGTERM in the end, and SIGKILL after STOP_SECONDS.
- It is ready when it takes a connection and answers HELLO; a first start may compile, so START_SECONDS is long.
"""

import ipaddress
import shlex
import signal
import socket
import subprocess
from pathlib import Path
from typing import Protocol

import psutil
import trio

from conformance.judge.codec import Codec
from conformance.judge.grounds import Grounds
from conformance.judge.peer import Peer
from conformance.judge.steps import Send
from conformance.judge.watch.processes import Processes, Usage, listener_at

__all__ = ["Attached", "NotReached", "Spawned", "Testee", "addresses", "is_loopback"]

HOST = "127.0.0.1"
START_SECONDS = 600.0
POLL_SECONDS = 0.05
STOP_SECONDS = 10.0
BACK_SECONDS = 5.0
LOG_TAIL = 6


class NotReached(Exception):
    """The testee cannot be started, or nobody answers there; the text says why."""


class Testee(Protocol):
    """What the judge needs of a testee."""

    name: str

    @property
    def grounds(self) -> Grounds:
        """What can be seen of it besides its port."""

    async def dial(self) -> trio.abc.HalfCloseableStream:
        """Open a connection; OSError where nobody takes it."""

    def dead(self) -> str | None:
        """How the testee ended, or None while it lives, as far as anybody can tell."""

    async def death(self, seconds: float) -> str | None:
        """As `dead`, waiting so long for an end that may be under way."""

    async def restart(self) -> None:
        """Bring a dead testee back; NotReached when that is not to be had."""


def addresses(host: str, port: int) -> frozenset[str]:
    """Every address of the host; raises NotReached for a name without address."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise NotReached(f"{host}: {error.strerror}") from error
    return frozenset(str(address[4][0]) for address in found)


def is_loopback(host: str, port: int) -> bool:
    """Whether every address of the host is one that only this machine reaches; NotReached for a name without any."""
    return all(ipaddress.ip_address(address).is_loopback for address in addresses(host, port))


class Attached:
    """A testee that somebody else has started.

    Its process is the one that listens there when it is first looked for, if that is on this machine and may be looked
    at; else whether it has died can only be seen from its not listening.
    """

    def __init__(self, host: str, port: int) -> None:
        self.name = f"{host}:{port}"
        self._host, self._port = host, port
        self._processes = _listener(host, port)

    @property
    def grounds(self) -> Grounds:
        return Grounds(self._processes.pid if self._processes else None)

    def look(self) -> Usage | None:
        """What its processes hold, where they can be looked at."""
        return self._processes.look() if self._processes else None

    async def dial(self) -> trio.SocketStream:
        return await trio.open_tcp_stream(self._host, self._port)

    def dead(self) -> str | None:
        if self._processes is None or self._processes.alive():
            return None
        return f"process {self._processes.pid}, which listened at {self.name}, has ended"

    async def death(self, seconds: float) -> str | None:
        with trio.move_on_after(seconds):
            try:
                await (await self.dial()).aclose()
            except OSError:
                return f"nobody listens at {self.name} any more"
        return self.dead()

    async def restart(self) -> None:
        """Wait for whoever has started it to do so again, and take the process that listens for the testee."""
        ending = self.dead() or f"nobody listens at {self.name} any more"
        with trio.move_on_after(BACK_SECONDS):
            while not await self._back():
                await trio.sleep(POLL_SECONDS)
            return
        raise NotReached(f"{ending}; only --spawn can start it again")

    async def _back(self) -> bool:
        """Whether somebody listens there again."""
        try:
            await (await self.dial()).aclose()
        except OSError:
            return False
        self._processes = _listener(self._host, self._port)
        return True


def _listener(host: str, port: int) -> Processes | None:
    """What listens there, when the host is this machine by all its addresses."""
    own = {address.address for card in psutil.net_if_addrs().values() for address in card}
    wanted = addresses(host, port)
    if not all(address in own or ipaddress.ip_address(address).is_loopback for address in wanted):
        return None
    pid = listener_at(wanted, port)
    try:
        return None if pid is None else Processes(pid)
    except ProcessLookupError:
        return None


class Spawned:
    """A process; `async with` starts it and ends it. `port` 0 takes any free one at each start."""

    def __init__(self, command: str, log: Path, codec: Codec, port: int = 0) -> None:
        self.name = command
        self.starts = 0
        self._command = command
        self._log = log
        self._codec = codec
        self._wanted = port
        self._port = port
        self._cache = log.with_name(f"{log.name}-cache") if "{cache}" in command else None
        self._process: trio.Process | None = None
        self._processes: Processes | None = None

    async def __aenter__(self) -> "Spawned":
        try:
            await self.restart()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        with trio.CancelScope(shield=True):
            await self._stop()

    @property
    def grounds(self) -> Grounds:
        return Grounds(self._process.pid if self._process else None, self._cache, self._port)

    def look(self) -> Usage | None:
        """What its processes hold; None while it does not run."""
        return self._processes.look() if self._processes else None

    async def dial(self) -> trio.SocketStream:
        return await trio.open_tcp_stream(HOST, self._port)

    def dead(self) -> str | None:
        code = self._process.poll() if self._process else None
        return None if code is None else f"{_ending(code)}{self._last_words()}"

    async def death(self, seconds: float) -> str | None:
        if self._process is not None:
            with trio.move_on_after(seconds):
                await self._process.wait()
        return self.dead()

    async def restart(self) -> None:
        await self._stop()
        self._port = self._wanted or _free_port()
        try:
            command = self._filled_in()
            with self._log.open("wb") as log:
                self._process = await trio.lowlevel.open_process(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
            self._processes = Processes(self._process.pid)
        except (OSError, ValueError) as error:
            raise NotReached(f"{self.name}: {error}") from error
        self.starts += 1
        await self._until_ready()

    def _filled_in(self) -> list[str]:
        if self._cache is not None:
            self._cache.mkdir(exist_ok=True)
        words = shlex.split(self._command)
        return [word.replace("{port}", str(self._port)).replace("{cache}", str(self._cache)) for word in words]

    async def _until_ready(self) -> None:
        with trio.move_on_after(START_SECONDS):
            while (ending := self.dead()) is None:
                if await self._greeted():
                    return
                await trio.sleep(POLL_SECONDS)
            raise NotReached(f"{self.name}: {ending} at its start")
        raise NotReached(f"{self.name} did not answer HELLO within {START_SECONDS:.0f} s of its start")

    async def _greeted(self) -> bool:
        """Whether anything at all comes for HELLO, were it the end: what is right is the cases' question."""
        try:
            peer = Peer(await self.dial(), START_SECONDS)
        except OSError:
            return False
        await peer.perform(Send(self._codec.request("HELLO")))
        await peer.receive()
        await peer.close()
        return True

    async def _stop(self) -> None:
        process, self._process, self._processes = self._process, None, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        with trio.move_on_after(STOP_SECONDS):
            await process.wait()
            return
        process.kill()
        await process.wait()

    def _last_words(self) -> str:
        lines = self._log.read_text("utf-8", "replace").splitlines()[-LOG_TAIL:]
        return "".join(f"\n    {line}" for line in lines)


def _ending(code: int) -> str:
    if code >= 0:
        return f"the process ended with exit code {code}"
    return f"the process was ended by {signal.Signals(-code).name}"


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        return int(probe.getsockname()[1])
