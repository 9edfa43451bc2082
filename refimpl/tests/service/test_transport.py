"""What the network reports in the middle of a conversation: a peer that is out of reach has gone."""

import errno
import socket

import pytest

from refimpl.service.transport import Transport

NUMBERS = [errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH]


class Cut(socket.socket):
    """A socket whose next call meets an error of the network."""

    number = 0

    def send(self, *arguments: object) -> int:
        raise OSError(self.number, "cut off")

    def recv_into(self, *arguments: object) -> int:
        raise OSError(self.number, "cut off")


def cut(number: int) -> Transport:
    sock = Cut(socket.AF_INET, socket.SOCK_STREAM)
    sock.number = number
    return Transport(sock)


@pytest.mark.parametrize("number", NUMBERS, ids=errno.errorcode.get)
async def test_a_peer_out_of_reach_has_gone(number: int) -> None:
    transport = cut(number)
    assert bytes(await transport.receive(1)) == b""
    with pytest.raises(ConnectionError):
        await transport.send(b"hello", 1)
    transport.close()


async def test_a_fault_of_ours_is_not_taken_for_a_peer_that_has_gone() -> None:
    transport = cut(errno.EBADF)
    with pytest.raises(OSError, match="cut off"):
        await transport.receive(1)
    with pytest.raises(OSError, match="cut off") as caught:
        await transport.send(b"hello", 1)
    assert not isinstance(caught.value, ConnectionError)
    transport.close()


async def test_the_system_asks_a_silent_peer_whether_it_is_still_there() -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    transport = Transport(sock)
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    idle, interval, count = (
        sock.getsockopt(socket.IPPROTO_TCP, option)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    )
    assert idle + interval * count <= 120
    transport.close()
