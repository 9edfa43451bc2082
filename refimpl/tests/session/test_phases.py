"""The table of phases, pair by pair, against the specification and against a live connection."""

import pytest

from refimpl.errors import PhaseError
from refimpl.limits import Limits
from refimpl.session.connection import Connection, Role
from refimpl.session.phases import Phase, check, transitions
from refimpl.wire.layout import REQUEST_HEAD
from refimpl.wire.messages import Hello, HelloReply
from spec.load import load
from spec.names import Command

PAIRS = [
    (version, phase, Command(number))
    for version in load().versions
    for phase in (Phase.GREETING, Phase.OPEN)
    for number in load().dialect(version).commands
]
IDS = [f"{version}-{phase.value}-{command.name}" for version, phase, command in PAIRS]


def server(version: str, phase: Phase) -> Connection:
    dialect = load().dialect(version)
    connection = Connection(Role.SERVER, dialect, Limits())
    if phase is Phase.OPEN:
        connection.receive(Connection(Role.CLIENT, dialect, Limits()).send(Hello()))
        assert connection.next_event() == Hello()
        connection.send(HelloReply(*dialect.hello))
    assert connection.phase is phase
    return connection


def test_phases_are_those_of_the_spec() -> None:
    for version in load().versions:
        assert {phase.value for phase in Phase} == {entry.name for entry in load().dialect(version).phases}


@pytest.mark.parametrize(("version", "phase", "command"), PAIRS, ids=IDS)
def test_table_says_hello_first_and_once(version: str, phase: Phase, command: Command) -> None:
    table = transitions(load().dialect(version))
    legal = (command is Command.HELLO) == (phase is Phase.GREETING)
    assert ((phase, command) in table) == legal
    if legal:
        assert check(table, phase, command) is Phase.OPEN


@pytest.mark.parametrize(("version", "phase", "command"), PAIRS, ids=IDS)
def test_a_connection_refuses_on_the_head_alone_what_the_table_does_not_have(
    version: str, phase: Phase, command: Command
) -> None:
    connection = server(version, phase)
    legal = (phase, command) in transitions(load().dialect(version))
    low, _ = connection.codec.request_bounds(command)
    connection.receive(REQUEST_HEAD.pack(command, low))
    if legal:
        connection.next_event()
        assert connection.phase is not Phase.CLOSED
    else:
        with pytest.raises(PhaseError) as caught:
            connection.next_event()
        assert caught.value.clause == ("PHASE-1" if phase is Phase.GREETING else "PHASE-2")
        assert connection.phase is Phase.CLOSED


@pytest.mark.parametrize("command", list(Command))
def test_nothing_is_legal_once_closed(command: Command) -> None:
    with pytest.raises(PhaseError, match="PHASE-3"):
        check(transitions(load().dialect(load().newest)), Phase.CLOSED, command)
