"""refimpl-cli as a shell sees it: exit codes, what is on stdout, one line for what went wrong, and Ctrl-C."""

import os
import signal
import sys

import pytest

from refimpl.cli import main_host
from refimpl.device.protocol import Program, StopWord
from refimpl.host.run import EXIT_FAILED, EXIT_INTERRUPTED
from refimpl.tests.model.tiny import TINY_PATH
from refimpl.tests.oracle_device import OracleDevice

RUN = ["-m", str(TINY_PATH), "-p", "for", "-c", "256", "--temp", "0"]


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_host, "open_cpu", lambda threads: OracleDevice())


@pytest.mark.usefixtures("oracle")
def test_stdout_gets_the_text_and_stderr_the_rest(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main_host.main([*RUN, "-n", "4"]) == 0
    out, err = capfdbinary.readouterr()
    assert out == b"for\x81n\n\n"
    assert b"eval time" in err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--bogus"], "--bogus is not a flag"),
        ([], "-m FNAME is required"),
        (["-m", "/no/such/file", "-p", "x"], "/no/such/file"),
        ([*RUN, "--rpc", "127.0.0.1:1"], "127.0.0.1:1"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_a_failure(
    words: list[str], complaint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main_host.main(words) == EXIT_FAILED
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("refimpl-cli: ")
    assert err.count("\n") == 1
    assert complaint in err


def test_help_is_no_failure(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main_host.main(["-h"])
    assert left.value.code == 0
    assert "--n-gpu-layers" in capfd.readouterr().out


@pytest.mark.usefixtures("oracle")
def test_a_reader_that_leaves_ends_the_run_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as abandoned:
        monkeypatch.setattr(sys, "stdout", abandoned)
        assert main_host.main([*RUN, "-n", "-1"]) == EXIT_FAILED
    assert "Traceback" not in capfd.readouterr().err


class InterruptedDevice(OracleDevice):
    """The user presses Ctrl-C during the third run, which nothing but the stop word ends."""

    def run(self, program: Program, stop: StopWord) -> None:
        if self.runs == 2:
            self.hold.clear()
            os.kill(os.getpid(), signal.SIGINT)
        super().run(program, stop)


def test_an_interrupt_stops_the_run_at_once_and_keeps_the_text(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    device = InterruptedDevice()
    monkeypatch.setattr(main_host, "open_cpu", lambda threads: device)
    assert main_host.main([*RUN, "-n", "-1"]) == EXIT_INTERRUPTED
    out, err = capfdbinary.readouterr()
    assert device.stopped == 1
    assert out == b"for\x81\n"
    assert b"eval time" in err
    assert err.endswith(b"refimpl-cli: interrupted\n")
