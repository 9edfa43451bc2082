"""Saying no to a graph: the first record that breaks a clause, in words.

Every check is a boolean array over records. The message is put together only when a check fails, so that good graphs
pay nothing for it.
"""

from collections.abc import Callable

import attrs
import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ProtocolError
from refimpl.graph.numbering import op_name
from refimpl.wire.tensor import TensorRecords

__all__ = ["Bools", "Judge", "in_all"]

Bools = NDArray[np.bool_]


def in_all(good: NDArray[np.bool_]) -> Bools:
    """(m, k) > (m,): whether a whole row is good."""
    whole: Bools = np.all(good, axis=1)
    return whole


@attrs.frozen(eq=False)
class Judge:
    """Knows the records of one message, for the sake of their names."""

    records: TensorRecords

    def label(self, index: int) -> str:
        """Record `index` in words: place, name, op and extents. Names are hostile text, hence the repr."""
        record = self.records[index]
        name = bytes(record["name"]).split(b"\0")[0].decode("utf-8", "replace")
        return f"tensor {index} {name!r} ({op_name(int(record['op']))} {record['ne'].tolist()})"

    def require(
        self,
        good: Bools,
        error: type[ProtocolError],
        clause: str,
        why: Callable[[int], str],
        index: NDArray[np.integer] | None = None,
    ) -> None:
        """Raise `error` unless all of `good` (m,) holds.

        `index` (m,) says which record each entry is about; entry i is about record i if it is left out. `why` is
        asked for the first entry that fails, by its number among the m.
        """
        if good.all():
            return
        entry = int(np.argmin(good))
        record = entry if index is None else int(index[entry])
        raise error(clause, f"{self.label(record)}: {why(entry)}")
