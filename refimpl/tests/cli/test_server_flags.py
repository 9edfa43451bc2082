"""Flags, banner and exit codes of refimpl-server, in a process of its own where signals and ports matter."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from refimpl.cli.banner import exposure_warning
from refimpl.cli.server import main, parse
from refimpl.errors import UsageError, VersionMismatch
from refimpl.service.client import connect

PATIENCE = 60


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
