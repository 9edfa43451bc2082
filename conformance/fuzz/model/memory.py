"""A buffer as the model has it: its bytes, and which of them it knows.

Rules
- A byte is known when it was written by something whose outcome the clauses leave no doubt about. Fresh memory is not
  known (ALLOC-5), nor is what an op left whose arithmetic the model does not follow.
- A buffer of more than MODELLED bytes has no bytes here; whatever touches it is lost on the model.
"""

import attrs
import numpy as np
from numpy.typing import NDArray

__all__ = ["MODELLED", "Held", "Region"]

MODELLED = 1 << 20

Bytes = NDArray[np.uint8]
Flags = NDArray[np.bool_]


@attrs.define(eq=False)
class Held:
    """A live buffer of a connection. base is None until it has been asked for."""

    name: str
    size: int
    handle: int
    base: int | None = None
    data: Bytes = attrs.field(init=False)
    known: Flags = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        size = self.size if self.modelled else 0
        self.data = np.zeros(size, np.uint8)
        self.known = np.zeros(size, np.bool_)

    @property
    def modelled(self) -> bool:
        """Whether its bytes are kept here."""
        return self.size <= MODELLED


@attrs.frozen(eq=False)
class Region:
    """Bytes of a buffer."""

    held: Held
    begin: int
    size: int

    @property
    def end(self) -> int:
        """Behind the last byte."""
        return self.begin + self.size

    def write(self, data: bytes) -> None:
        """Put known bytes there."""
        self.held.data[self.begin : self.end] = np.frombuffer(data, np.uint8)
        self.held.known[self.begin : self.end] = True

    def fill(self, value: int) -> None:
        """Every byte becomes the value."""
        self.held.data[self.begin : self.end] = value
        self.held.known[self.begin : self.end] = True

    def blur(self) -> None:
        """What is there is not known any more."""
        self.held.known[self.begin : self.end] = False

    def read(self) -> tuple[bytes, bytes]:
        """The bytes, and for each 1 where it is known and 0 where it is not."""
        care = self.held.known[self.begin : self.end]
        return self.held.data[self.begin : self.end].tobytes(), care.tobytes()

    def clear(self) -> bool:
        """Whether every byte is known."""
        return bool(self.held.known[self.begin : self.end].all())

    def meets(self, other: "Region") -> bool:
        """Whether the two have a byte in common."""
        return self.held is other.held and self.begin < other.end and other.begin < self.end
