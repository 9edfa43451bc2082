"""Every exception that refimpl raises on purpose, drawn once.

    RefimplError
    +-- ProtocolError(clause, detail)   a peer broke a numbered clause of spec/text: it loses its connection
    |   +-- FrameError                  size, command byte or byte layout of a message
    |   +-- PhaseError                  a message that is not legal now
    |   +-- HandleError                 a buffer handle that this connection does not own
    |   +-- RegionError                 bytes outside a tensor or outside a buffer
    |   +-- GraphError                  a graph that no device may run
    |   +-- UnsupportedError            an op, type or option for which this implementation has no kernel
    |   +-- ComputeFault                a value inside an index tensor is out of range (found while running)
    +-- DeviceError
    |   +-- OutOfMemory                 the device cannot give that many bytes
    |   +-- ComputeStopped              the run ended early because somebody asked for it
    +-- NodeError(endpoint, detail)     the other end, seen from a client
    |   +-- NodeUnreachable             no TCP connection
    |   +-- VersionMismatch             HELLO answered with another major or a newer minor
    |   +-- NodeClosed                  the node closed the connection (in this protocol: it refused the last command)
    |   +-- NodeTimeout                 no reply in time
    +-- ModelError(path, detail)        a model file that cannot be used
    +-- UsageError                      a flag or argument that cannot be used

A message says what happened, to which file, node or tensor, and what to do next.
"""

__all__ = [
    "ComputeFault",
    "ComputeStopped",
    "DeviceError",
    "FrameError",
    "GraphError",
    "HandleError",
    "ModelError",
    "NodeClosed",
    "NodeError",
    "NodeTimeout",
    "NodeUnreachable",
    "OutOfMemory",
    "PhaseError",
    "ProtocolError",
    "RefimplError",
    "RegionError",
    "UnsupportedError",
    "UsageError",
    "VersionMismatch",
]


class RefimplError(Exception):
    """Root of the tree: whatever refimpl raises on purpose."""


class ProtocolError(RefimplError):
    """A peer broke a clause of the specification.

    clause: id of the clause in spec/text, such as ``FRAME-3``; detail: the offending value in words.
    """

    def __init__(self, clause: str, detail: str) -> None:
        super().__init__(f"{clause}: {detail}")
        self.clause = clause
        self.detail = detail


class FrameError(ProtocolError):
    """Size, command byte or byte layout of a message."""


class PhaseError(ProtocolError):
    """A message that is not legal in the connection's phase."""


class HandleError(ProtocolError):
    """A buffer handle that this connection does not own."""


class RegionError(ProtocolError):
    """Bytes outside a tensor or outside a buffer."""


class GraphError(ProtocolError):
    """A graph that no device may run."""


class UnsupportedError(ProtocolError):
    """An op, type or option for which this implementation has no kernel."""


class ComputeFault(ProtocolError):
    """A value inside an index tensor is out of range; found by the kernel that reads it."""


class DeviceError(RefimplError):
    """A device could not do what it was asked for, through no fault of a peer's bytes."""


class OutOfMemory(DeviceError):
    """The device cannot give that many bytes."""


class ComputeStopped(DeviceError):
    """The run ended early because its stop word was set."""


class NodeError(RefimplError):
    """The other end of a connection, seen from a client; endpoint is ``host:port``."""

    def __init__(self, endpoint: str, detail: str) -> None:
        super().__init__(f"{endpoint}: {detail}")
        self.endpoint = endpoint
        self.detail = detail


class NodeUnreachable(NodeError):
    """No TCP connection to the node."""


class VersionMismatch(NodeError):
    """HELLO was answered with another major version or a newer minor one."""


class NodeClosed(NodeError):
    """The node closed the connection; in this protocol that is how it refuses a command."""


class NodeTimeout(NodeError):
    """The node sent no reply in time."""


class ModelError(RefimplError):
    """A model file that cannot be used; path names it."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"{path}: {detail}")
        self.path = path
        self.detail = detail


class UsageError(RefimplError):
    """A flag or an argument that cannot be used."""
