"""The program that drives the client through all commands does, and reads what it has written."""

import pytest

from refimpl.tests.service.every_command import main
from refimpl.tests.service.harness import running
from refimpl.trace import CommandTaken
from spec.load import load

NOT_DRIVEN = {"COMM_INIT", "COMM_ALLREDUCE", "COMM_FREE"}
"""the client library has no pairs"""


@pytest.mark.parametrize("version", load().versions)
async def test_every_command_is_sent_and_the_bytes_come_back(version: str, capsys: pytest.CaptureFixture[str]) -> None:
    async with running(proto=version) as node:
        await main(node.endpoint, version)
        sent = {event.command for event in node.trace.of(CommandTaken)}
    assert {command.name for command in load().dialect(version).commands.values()} - sent == NOT_DRIVEN & {
        command.name for command in load().dialect(version).commands.values()
    }
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "True"
    assert bytes.fromhex(lines[1])[16:32] == bytes(range(16))
    assert lines[2] == bytes(range(248, 256)).hex()
    assert lines[-2:] == ["[0. 2. 4. 6.]", "[2. 4. 6. 8.]"]
