"""The devices of all nodes under one numbering: RPC0, RPC1, ... by --rpc, then by each node's own order."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial

import attrs

from refimpl.errors import UsageError
from refimpl.host.backends.graphs import RememberedGraphs
from refimpl.host.backends.protocol import MIB
from refimpl.host.command.options import DEFAULT_PATIENCE
from refimpl.service.channel import Patience
from refimpl.service.client import RemoteDevice, RemoteNode, connect

__all__ = ["NodeDevice", "choose", "connect_all", "device_lines"]

GRAPHS = 16
"""graphs that a device is made to remember: decoding, and pieces of prompts by their size and attended cells"""


@attrs.frozen(eq=False)
class NodeDevice:
    """One device of a node, by the name that -dev uses."""

    name: str
    node: RemoteNode
    device: RemoteDevice
    graphs: RememberedGraphs
    """those that the node remembers for this device"""

    @property
    def place(self) -> str:
        """The node's endpoint, and the device's number there if it has several."""
        several = len(self.node.devices) > 1
        return f"{self.node.endpoint}#{self.device.index}" if several else self.node.endpoint


async def connect_all(
    stack: AsyncExitStack, endpoints: Sequence[str], proto: str | None = None, patience: Patience = DEFAULT_PATIENCE
) -> tuple[NodeDevice, ...]:
    """Connect to every endpoint, until `stack` closes. Raises NodeUnreachable, VersionMismatch and other NodeErrors.

    proto: the version to speak with all of them; without it each gets the newest that it takes. `patience` is for what
    comes after the list of devices.
    """
    call = partial(connect, dialect=proto, reply_timeout=patience.reply, compute_timeout=patience.computing)
    nodes = [await stack.enter_async_context(call(endpoint)) for endpoint in endpoints]
    pairs = [(node, device) for node in nodes for device in node.devices]
    return tuple(
        NodeDevice(f"RPC{number}", node, device, RememberedGraphs(_graph_uids(node)))
        for number, (node, device) in enumerate(pairs)
    )


def _graph_uids(node: RemoteNode) -> int:
    """How many graphs to make the node remember for each device; 0 where the version has no uids."""
    limit = node.dialect.constants.get("GRAPHS_PER_DEVICE")
    return min(limit.value, GRAPHS) if limit else 0


def choose(devices: Sequence[NodeDevice], names: Sequence[str] | None) -> tuple[NodeDevice, ...]:
    """The devices that -dev names, in its order; all of them without it. Raises UsageError."""
    if names is None:
        return tuple(devices)
    known = {device.name: device for device in devices}
    for name in names:
        if name not in known:
            raise UsageError(f"-dev: there is no device {name}; known: {', '.join(known) or 'none, give --rpc'}")
    return tuple(known[name] for name in names)


async def device_lines(devices: Sequence[NodeDevice]) -> list[str]:
    """What --list-devices prints, worded as llama.cpp does."""
    lines = ["Available devices:"]
    for device in devices:
        free, total = await device.device.memory()
        lines.append(f"  {device.name}: {device.place} ({total // MIB} MiB, {free // MIB} MiB free)")
    return lines if devices else [*lines, "  (none)"]
