"""Tensor records as the model reads them, and the clauses about sizes and regions: TENSOR-2 to TENSOR-6, REGION-1 to 6.

Rules
- Sizes are Python integers, which cannot wrap (TENSOR-16).
- No address is followed: data minus base is an offset, and either lies inside the buffer or it does not.
"""

from collections.abc import Mapping

import attrs

from conformance.fuzz.layout import Layout, Number
from conformance.fuzz.model.memory import Held, Region
from conformance.fuzz.model.ruling import Doubts, Lost, must
from spec.dialect import Dialect, TypeDef

__all__ = ["Tensor", "owner", "placed", "region", "sized"]

LARGEST_PRODUCT = 1 << 63
SURELY_SERVED = 1 << 40
"""a tensor larger than this may be refused (TENSOR-15): no device that is fuzzed has as much memory"""

Quad = tuple[int, int, int, int]
Owned = Mapping[int, Held]
"""buffers of the connection by handle"""


@attrs.frozen(kw_only=True, eq=False)
class Tensor:
    """One record; kind is None for a type number that means nothing."""

    id: int
    kind: TypeDef | None
    buffer: int
    ne: Quad
    nb: Quad
    op: int
    params: tuple[int, ...]
    flags: int
    src: tuple[int, ...]
    view_src: int
    data: int
    use_count: int

    @classmethod
    def read(cls, layout: Layout, dialect: Dialect, data: bytes, offset: int = 0) -> "Tensor":
        """The record that begins at `offset`."""
        values = layout.unpack(data, offset)
        kind = dialect.types.get(values.pop("type"))  # type: ignore[arg-type]
        params = values.pop("op_params")
        kept: dict[str, Number] = {name: value for name, value in values.items() if name in _ATTRIBUTES}
        return cls(kind=kind, params=params, **kept)  # type: ignore[arg-type]

    @property
    def elements(self) -> int:
        """How many."""
        return self.ne[0] * self.ne[1] * self.ne[2] * self.ne[3]

    @property
    def span(self) -> int:
        """Its byte size (TENSOR-4); the type has to be known."""
        if self.kind is None:
            raise ValueError("a tensor of no type has no size")
        if 0 in self.ne:
            return 0
        ne, nb = self.ne, self.nb
        row = self.kind.bytes + (ne[0] - 1) * nb[0] if self.kind.block == 1 else ne[0] * nb[0] // self.kind.block
        return row + sum((ne[dim] - 1) * nb[dim] for dim in (1, 2, 3))

    @property
    def packed(self) -> bool:
        """Whether no byte lies between two of its elements, in the order of its dimensions."""
        if self.kind is None:
            return False
        step = self.kind.bytes
        for dim, extent in enumerate(self.ne):
            if extent > 1 and self.nb[dim] != step:
                return False
            step *= extent // self.kind.block if dim == 0 else extent
        return self.kind.block == 1 or self.nb[0] == self.kind.bytes


_ATTRIBUTES = {field.name for field in attrs.fields(Tensor)}


def sized(tensor: Tensor, doubts: Doubts) -> int:
    """The byte size of a record that has to be decoded."""
    must(tensor.kind is not None, "TENSOR-2")
    must(tensor.elements < LARGEST_PRODUCT, "TENSOR-5")
    doubts.unless(tensor.id != 0, "TENSOR-8")
    if tensor.kind is not None and tensor.elements:
        doubts.unless(tensor.ne[0] % tensor.kind.block == 0, "TENSOR-6")
    doubts.unless(tensor.span <= SURELY_SERVED, "TENSOR-15")
    return tensor.span


def owner(tensor: Tensor, owned: Owned) -> Held:
    """The buffer of a tensor whose bytes are touched."""
    must(tensor.buffer != 0, "REGION-5")
    must(tensor.buffer in owned, "HANDLE-2")
    return owned[tensor.buffer]


def placed(tensor: Tensor, held: Held, size: int) -> Region:
    """`size` bytes from the tensor's data on, which have to lie inside the buffer; of none, any address will do."""
    if size == 0:
        return Region(held, 0, 0)
    if held.base is None:
        raise Lost
    begin = tensor.data - held.base
    must(begin >= 0 and begin + size <= held.size, "REGION-1")
    if not held.modelled:
        raise Lost
    return Region(held, begin, size)


def region(tensor: Tensor, owned: Owned, offset: int, size: int, doubts: Doubts) -> Region:
    """The region of a command: REGION-1, REGION-2 and REGION-5, with all that they stand upon."""
    span = sized(tensor, doubts)
    whole = placed(tensor, owner(tensor, owned), span)
    must(offset + size <= span, "REGION-2")
    return Region(whole.held, whole.begin + offset, size)
