"""Flags, banner and exit codes of refimpl-server, in a process of its own where signals and ports matter."""

import math
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest
import trio

from refimpl.cli.banner import exposure_warning
from refimpl.cli.server import DEVICES, main
from refimpl.cli.server_flags import BOUNDS, Options
from refimpl.cli.server_flags import parse as parse_flags
from refimpl.errors import NodeError, OutOfMemory, UsageError, VersionMismatch
from refimpl.limits import Limits
from refimpl.service.cache.place import Scope
from refimpl.service.client import connect

PATIENCE = 60
MIB = 1 << 20


def parse(flags: list[str]) -> Options:
    return parse_flags(flags, tuple(DEVICES))


@contextmanager
def server(*flags: str, environment: dict[str, str] | None = None) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A running refimpl-server and its banner."""
    command = [sys.executable, "-m", "refimpl.cli.server", "-p", "0", "-t", "1", *flags]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    try:
        assert process.stdout is not None
        banner: list[str] = []
        while line := process.stdout.readline():
            banner.append(line.rstrip("\n"))
            if "transport" in line:
                break
        yield process, banner
    finally:
        process.kill()
        process.communicate()


def endpoint(banner: list[str]) -> str:
    return banner[1].partition(": ")[2]


def test_the_banner_says_what_stock_says() -> None:
    with server() as (_, banner):
        assert banner[0] == "Starting RPC server v8.0.0"
        assert re.fullmatch(r"  endpoint       : 127\.0\.0\.1:\d+", banner[1])
        assert banner[2] == "  local cache    : n/a"
        assert banner[3] == "Devices:"
        assert re.fullmatch(r"  CPU: .+ \(\d+ MiB, \d+ MiB free\)", banner[4])
        assert banner[5] == "  transport      : TCP"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly_although_a_client_is_connected(number: signal.Signals) -> None:
    with server() as (process, banner):
        host, _, port = endpoint(banner).rpartition(":")
        with socket.create_connection((host, int(port))):
            process.send_signal(number)
            assert process.wait(PATIENCE) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def test_a_host_name_and_the_cache_folder(tmp_path: Path) -> None:
    with server("-H", "localhost", "-c", environment={"LLAMA_CACHE": str(tmp_path)}) as (_, banner):
        assert endpoint(banner).startswith("localhost:")
        assert banner[2] == f"  local cache    : {tmp_path}/rpc"
        assert trio.run(version_of, endpoint(banner)) == (8, 0, 0)


def test_one_process_serves_two_versions_and_says_where() -> None:
    with server("--proto", "7.0.0", "--also", "8.0.0@0") as (_, banner):
        assert banner[0] == "Starting RPC server v7.0.0"
        also = re.fullmatch(r"  also v8\.0\.0    : (127\.0\.0\.1:\d+)", banner[2])
        assert also is not None
        assert trio.run(version_of, endpoint(banner)) == (7, 0, 0)
        assert trio.run(version_of, also[1]) == (8, 0, 0)


def test_the_log_tells_a_client_of_another_version_which_flag_to_try() -> None:
    with server() as (process, banner):
        with pytest.raises(VersionMismatch):
            trio.run(version_of, endpoint(banner), "7.0.0")
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=PATIENCE)
    (line,) = log.splitlines()
    for words in ("right after our HELLO reply", "8.0.0", "probably", "--proto 7.0.0", "--also 7.0.0@PORT"):
        assert words in line


def has_ipv6_loopback() -> bool:
    """Asked of the system: a container may have a Python with IPv6 and no such address."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6_loopback(), reason="this machine has no IPv6 loopback")
def test_ipv6() -> None:
    with server("-H", "::1") as (_, banner):
        assert endpoint(banner).startswith("[::1]:")
        assert trio.run(version_of, endpoint(banner)) == (8, 0, 0)


def test_debug_logs_each_command() -> None:
    with server(environment={"GGML_RPC_DEBUG": "1"}) as (process, banner):
        trio.run(version_of, endpoint(banner))
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=PATIENCE)
    assert "HELLO" in log
    assert "GET_ALIGNMENT device=0" in log


async def version_of(where: str, proto: str | None = None) -> tuple[int, int, int]:
    async with connect(where, dialect=proto) as node:
        return node.version


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["-d", "CUDA7"], "unknown device 'CUDA7'; available: CPU"),
        (["-p", "99999"], "-p 99999"),
        (["-p", "x"], "invalid int value: 'x'"),
        (["-t", "0"], "-t 0"),
        (["--nonsense"], "--nonsense"),
        (["--hos", "127.0.0.1"], "--hos"),
        (["-p"], "expected one argument"),
        (["--proto", "6.0.0"], "'6.0.0'"),
        (["--also", "7.0.0"], "'7.0.0' is not 7.0.0@PORT or 8.0.0@PORT"),
        (["--also", "6.0.0@50053"], "'6.0.0@50053' is not 7.0.0@PORT"),
        (["--also", "7.0.0@x"], "'7.0.0@x': a port is a number"),
        (["--also", "7.0.0@65536"], "'7.0.0@65536': a port is a number"),
        (["--also", "7.0.0@50052"], "a port speaks one version"),
        (["--also", "7.0.0@50053", "--also", "8.0.0@50053"], "a port speaks one version"),
        (["-H", "no-such-host.invalid", "-p", "0"], "-H no-such-host.invalid"),
        (["--max-clients", "0"], "--max-clients: '0' is not a whole number from 1"),
        (["--max-clients", "many"], "'many' is not a whole number"),
        (["--max-memory", "-1"], "--max-memory"),
        (["--max-memory", "1.5"], "'1.5' is not a whole number"),
        (["--max-graph-nodes", "99999999999999999999"], "is not a whole number from 1 to 16777216"),
        (["--idle-timeout", "nan"], "'nan' is not a number of seconds"),
        (["--idle-timeout", "-1"], "--idle-timeout"),
        (["--read-timeout", "inf"], "'inf' is not a number of seconds"),
        (["--max-graph", "300"], "--max-messages 128: less than one graph of --max-graph 300"),
        (["--cache-scope", "some"], "'some'"),
    ],
)
def test_a_flag_that_cannot_be_used_is_one_line(
    flags: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(flags) == 2
    said = capsys.readouterr()
    assert complaint in said.err
    assert said.err.strip().splitlines()[-1].startswith("refimpl-server: ")
    assert not said.out


def test_a_port_that_is_taken_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["-p", str(port)]) == 1
    said = capsys.readouterr()
    assert len(said.err.splitlines()) == 1
    assert f"127.0.0.1:{port}" in said.err


def test_defaults_are_those_of_stock() -> None:
    options = parse([])
    assert (options.host, options.port, options.devices, options.cache) == ("127.0.0.1", 50052, ("CPU",), False)
    assert (options.proto, options.also) == ("8.0.0", ())
    assert options.threads == max(1, (os.cpu_count() or 1) // 2)


def test_limits_have_their_defaults_and_flags_in_everyday_units() -> None:
    assert parse([]).limits == Limits()
    limits = parse(
        [
            "--max-clients",
            "7",
            "--max-client-memory",
            "100",
            "--max-memory",
            "2048",
            "--idle-timeout",
            "90",
            "--read-timeout",
            "0.5",
        ]
    ).limits
    assert (limits.connections, limits.buffer_bytes, limits.device_bytes) == (7, 100 * MIB, 2048 * MIB)
    assert (limits.idle_timeout, limits.message_timeout) == (90.0, 0.5)


def test_no_limit_is_0() -> None:
    flags = ["--max-client-memory", "0", "--max-memory", "0", "--idle-timeout", "0"]
    assert parse(flags).limits == Limits()
    assert parse(["--send-timeout", "0"]).limits.send_timeout == math.inf


def test_every_limit_with_a_flag_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    fields = {field.name for field in attrs.fields(Limits)}
    bounds = [bound for group in BOUNDS.values() for bound in group]
    assert {bound.field for bound in bounds} <= fields
    with pytest.raises(SystemExit):
        parse(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    for bound in bounds:
        assert f"{bound.flag} {bound.unit.name} {bound.help} (default: {bound.default})" in said


def test_a_cache_is_for_the_address_that_filled_it_unless_one_says_so() -> None:
    assert parse(["-c"]).cache_scope is Scope.PEER
    assert parse(["-c", "--cache-scope", "all", "--cache-size", "5"]).limits.cache_bytes == 5 * MIB
    assert parse(["-c", "--cache-scope", "all"]).cache_scope is Scope.ALL


def test_a_server_keeps_to_what_its_flags_say() -> None:
    with server("--max-memory", "64", "--max-client-memory", "16", "--max-clients", "2") as (process, banner):
        assert "(64 MiB, 64 MiB free)" in banner[4]
        trio.run(ask_for_too_much, endpoint(banner))
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=PATIENCE)
    assert "limits.connections" in log


async def ask_for_too_much(where: str) -> None:
    async with connect(where) as one, connect(where) as other:
        assert await one.devices[0].memory() == (16 * MIB, 16 * MIB)
        await one.devices[0].allocate(16 * MIB)
        with pytest.raises(OutOfMemory):
            await one.devices[0].allocate(1)
        await other.devices[0].allocate(16 * MIB)
        with pytest.raises(NodeError):
            async with connect(where):
                pass


def test_as_many_files_may_be_open_as_there_may_be_clients() -> None:
    done = subprocess.run([sys.executable, "-c", FEW_FILES], capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout.split() == ["164", "200"]
    assert "--max-clients 1000: the system allows 200 open files only" in done.stderr


FEW_FILES = """
import resource
from refimpl.cli.server import _make_room_for
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 200))
for connections in (100, 1000):
    _make_room_for(connections)
    print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def test_help_and_version_exit_with_success(capsys: pytest.CaptureFixture[str]) -> None:
    for flag, said in (("--help", "--cache"), ("--version", "protocol 8.0.0, 7.0.0")):
        with pytest.raises(SystemExit) as ended:
            parse([flag])
        assert ended.value.code == 0
        assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("host", "warned"),
    [
        ("127.0.0.1", False),
        ("127.0.0.2", False),
        ("::1", False),
        ("localhost", False),
        ("0.0.0.0", True),
        ("node", True),
    ],
)
def test_a_host_that_others_reach_is_warned_about(host: str, warned: bool) -> None:
    assert (exposure_warning(host) is not None) == warned


def test_devices_are_divided_by_commas_and_slashes_as_in_stock() -> None:
    assert parse(["-d", "CPU/CPU,CPU"]).devices == ("CPU",) * 3


def test_an_empty_device_list_is_refused() -> None:
    with pytest.raises(UsageError):
        parse(["-d", ""])
