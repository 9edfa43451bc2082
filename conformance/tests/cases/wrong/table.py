"""All wrong servers, with the verdict that each gets and the cases that have to find it."""

from collections.abc import Mapping

from conformance.tests.cases.miniature.session import Session
from conformance.tests.cases.wrong import cache, life, memory, tensors, transfer, wire
from conformance.tests.cases.wrong.entry import Wrong

__all__ = ["WRONG"]

WRONG: Mapping[type[Session], Wrong] = {
    **wire.WRONG,
    **memory.WRONG,
    **tensors.WRONG,
    **transfer.WRONG,
    **life.WRONG,
    **cache.WRONG,
}
