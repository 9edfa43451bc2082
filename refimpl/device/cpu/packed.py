"""Which bytes of an allocation are weights in their packed layout at the moment.

Packed regions never overlap. `version` changes whenever a region comes or goes, so that a program knows when to look
again. A region that some program has to read as it was sent is denied to all others from then on: packing it again
and again would cost more than it saves. Writing to it by command lifts that.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from spec.names import Type

__all__ = ["MOST_DENIED", "PackedRegion", "PackedRegions"]


MOST_DENIED = 4096
"""regions denied at once; a peer that makes more of them pays with work of its own"""


@attrs.frozen(order=True)
class PackedRegion:
    """A whole matrix without gaps: `rows` rows of `columns` elements from byte `offset` of the allocation on."""

    offset: int
    size: int
    type: Type
    columns: int
    rows: int

    @property
    def end(self) -> int:
        return self.offset + self.size


class PackedRegions:
    """The packed regions of one allocation, by offset."""

    def __init__(self) -> None:
        self.version = 0
        self._regions: list[PackedRegion] = []
        self._present: set[PackedRegion] = set()
        self._denied: set[PackedRegion] = set()
        self._bounds: tuple[int, NDArray[np.int64]] = (0, np.zeros((0, 2), np.int64))

    def __contains__(self, region: PackedRegion) -> bool:
        return region in self._present

    @property
    def bounds(self) -> NDArray[np.int64]:
        """(n, 2) first byte of each region and one past its last, in order."""
        version, bounds = self._bounds
        if version != self.version:
            places = [(region.offset, region.end) for region in self._regions]
            bounds = np.array(places, np.int64).reshape(-1, 2)
            self._bounds = self.version, bounds
        return bounds

    def overlapping(self, start: int, end: int) -> Sequence[PackedRegion]:
        """Regions that share a byte with [start, end)."""
        if not self._regions or start >= end:
            return ()
        first = bisect_left(self._regions, start, key=lambda region: region.offset)
        if first and self._regions[first - 1].end > start:
            first -= 1
        last = first
        while last < len(self._regions) and self._regions[last].offset < end:
            last += 1
        return self._regions[first:last]

    def all(self) -> Sequence[PackedRegion]:
        """Every region, in order."""
        return tuple(self._regions)

    def add(self, region: PackedRegion) -> None:
        """Note that a region is packed now. ValueError if it overlaps another."""
        if self.overlapping(region.offset, region.end):
            raise ValueError(f"{region} overlaps a packed region")
        insort(self._regions, region)
        self._present.add(region)
        self.version += 1

    def remove(self, region: PackedRegion) -> None:
        """Note that a region is as it was sent again."""
        del self._regions[bisect_left(self._regions, region)]
        self._present.remove(region)
        self.version += 1

    def deny(self, region: PackedRegion) -> None:
        """Keep a region as it was sent, whoever asks."""
        if len(self._denied) >= MOST_DENIED:
            self._denied.clear()
        self._denied.add(region)

    def denied(self, region: PackedRegion) -> bool:
        """Whether a program may not have this region packed."""
        return region in self._denied

    def written(self, start: int, end: int) -> None:
        """New bytes by command: what was denied there may be packed again."""
        if self._denied and start < end:
            self._denied = {region for region in self._denied if region.end <= start or end <= region.offset}
