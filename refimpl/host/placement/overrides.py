"""-ot: single weights on devices of their own, by a pattern of their names.

A pattern is a regular expression that is searched for in the name, as in llama.cpp; the first that is found counts. A
device is named as --list-devices does, or as llama.cpp names the buffers there: ``RPC0``, ``RPC0[host:port]``, ``CPU``.
The token embedding is looked up on the local CPU always; where it is also the output matrix, -ot moves that use of it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from refimpl.errors import UsageError
from refimpl.host.command.options import Override
from refimpl.host.nodes import NodeDevice
from refimpl.host.placement.plan import LOCAL

__all__ = ["LOCAL_NAME", "resolve"]

LOCAL_NAME = "CPU"


def resolve(overrides: Sequence[Override], names: Iterable[str], devices: Sequence[NodeDevice]) -> dict[str, int]:
    """Device number of every weight that a pattern finds. Raises UsageError for a device or pattern without a match."""
    known = _known(devices)
    rules: list[tuple[Override, int]] = []
    for override in overrides:
        if override.device not in known:
            choice = ", ".join([LOCAL_NAME, *(device.name for device in devices)])
            raise UsageError(f"-ot {override.pattern}={override.device}: there is no such device; known: {choice}")
        rules.append((override, known[override.device]))
    found: dict[str, int] = {}
    useful: set[Override] = set()
    for name in names:
        matching = [(override, number) for override, number in rules if re.search(override.pattern, name)]
        useful.update(override for override, _ in matching)
        if matching:
            found[name] = matching[0][1]
    for override in overrides:
        if override not in useful:
            raise UsageError(f"-ot {override.pattern}={override.device}: no weight has a name like this; -v lists them")
    return found


def _known(devices: Sequence[NodeDevice]) -> Mapping[str, int]:
    """Number of a device by each of its names."""
    known = {LOCAL_NAME: LOCAL}
    for number, device in enumerate(devices):
        known[device.name] = known[f"{device.name}[{device.place}]"] = number
    return known
