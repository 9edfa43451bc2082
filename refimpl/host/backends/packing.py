"""Laying tensors out in as few buffers as a device allows: pure, sizes in bytes."""

from collections.abc import Sequence

import attrs

__all__ = ["Packing", "Slot", "aligned", "pack"]


@attrs.frozen
class Slot:
    """Where one tensor lies: number of the buffer and first byte inside it."""

    buffer: int
    offset: int


@attrs.frozen
class Packing:
    """Slots in the order of the sizes given, and the size of each buffer."""

    slots: tuple[Slot, ...]
    buffers: tuple[int, ...]


def aligned(size: int, alignment: int) -> int:
    """`size` rounded up to a multiple of `alignment`."""
    return -(-size // alignment) * alignment


def pack(sizes: Sequence[int], alignment: int, max_size: int) -> Packing:
    """Put sizes one after the other, a new buffer when the next would pass `max_size`; every slot starts aligned.

    A single size above max_size gets a buffer of its own, which the device will refuse by name.
    """
    slots: list[Slot] = []
    buffers: list[int] = []
    for size in sizes:
        room = aligned(size, alignment)
        if not buffers or buffers[-1] + room > max_size:
            buffers.append(0)
        slots.append(Slot(len(buffers) - 1, buffers[-1]))
        buffers[-1] += room
    return Packing(tuple(slots), tuple(buffers))
