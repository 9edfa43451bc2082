"""What refimpl-server says at its start:

The lines of llama.cpp's ggml-rpc-server, so that scripts which read them go on working.
"""

import ipaddress
from collections.abc import Sequence

import attrs

from refimpl.device.protocol import Device
from refimpl.service.cache.tensors import TensorCache
from refimpl.service.transport import endpoint_text

__all__ = ["Served", "banner", "exposure_warning"]

MIB = 1 << 20


@attrs.frozen
class Served:
    """A version of the protocol and where it is spoken; `ports` are those really bound, usually one and the same."""

    version: str
    host: str
    ports: tuple[int, ...]

    def __str__(self) -> str:
        return ", ".join(endpoint_text(self.host, port) for port in self.ports)


def banner(served: Sequence[Served], cache: TensorCache | None, devices: Sequence[Device]) -> str:
    """Version and endpoint, those that are served besides, cache and devices."""
    lines = [
        f"Starting RPC server v{served[0].version}",
        f"  endpoint       : {served[0]}",
        *(f"  also v{other.version:<9}: {other}" for other in served[1:]),
        f"  local cache    : {cache.folder if cache else 'n/a'}",
        "Devices:",
    ]
    for device in devices:
        memory = device.memory()
        sizes = f"{memory.total // MIB} MiB, {memory.free // MIB} MiB free"
        lines.append(f"  {device.name}: {device.description} ({sizes})")
    return "\n".join([*lines, "  transport      : TCP"])


def exposure_warning(host: str) -> str | None:
    """Stock's warning for a host that others can reach; None for loopback."""
    if _is_loopback(host):
        return None
    return (
        f"WARNING: Host ('{host}') is != '127.0.0.1'\n"
        "         Never expose the RPC server to an open network!\n"
        "         Whoever reaches this port can use this machine's memory and processors; nothing asks for a password."
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
