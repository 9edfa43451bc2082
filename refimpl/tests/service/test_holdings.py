"""What was proved of a tensor's bytes is proved once, and forgotten when a buffer goes."""

import numpy as np
import pytest

from refimpl.errors import HandleError, RegionError
from refimpl.limits import Limits
from refimpl.service import holdings
from refimpl.service.holdings import Holdings, Seat
from refimpl.session.regions import Region
from refimpl.tests.fake_device import FakeDevice
from refimpl.wire.tensor import RPC_TENSOR
from spec.names import Type

SIZE = 64


def tensor(own: Holdings, handle: int) -> np.void:
    """All bytes of a buffer."""
    record: np.void = np.zeros(1, RPC_TENSOR)[0]
    record["type"], record["buffer"], record["data"] = Type.I8, handle, own.ledger.get(handle).base
    record["ne"], record["nb"] = (SIZE, 1, 1, 1), (1, SIZE, SIZE, SIZE)
    return record


@pytest.fixture
def own() -> Holdings:
    return Holdings([Seat(FakeDevice())], Limits())


def test_the_same_record_names_the_same_bytes_again(own: Holdings) -> None:
    handle = own.allocate(0, SIZE).handle
    record = tensor(own, handle)
    assert [own.region(record, 8, 16) for _ in range(3)] == [Region(handle, 8, 16)] * 3


def test_another_offset_or_size_is_proved_by_itself(own: Holdings) -> None:
    record = tensor(own, own.allocate(0, SIZE).handle)
    own.region(record, 8, 16)
    for offset, size in ((SIZE - 8, 16), (8, SIZE), (SIZE + 1, 0)):
        with pytest.raises(RegionError):
            own.region(record, offset, size)


def test_a_record_that_changes_in_place_is_another(own: Holdings) -> None:
    record = tensor(own, own.allocate(0, SIZE).handle)
    own.region(record, 0, SIZE)
    record["data"] += 1
    with pytest.raises(RegionError):
        own.region(record, 0, SIZE)


def test_nothing_is_proved_of_a_buffer_that_is_gone(own: Holdings) -> None:
    handle = own.allocate(0, SIZE).handle
    record = tensor(own, handle)
    own.region(record, 0, SIZE)
    own.free(handle)
    with pytest.raises(HandleError):
        own.region(record, 0, SIZE)


def test_what_is_remembered_is_bounded(own: Holdings) -> None:
    record = tensor(own, own.allocate(0, 4 * holdings.MOST_PROVED).handle)
    record["ne"] = (4 * holdings.MOST_PROVED, 1, 1, 1)
    for offset in range(3 * holdings.MOST_PROVED):
        assert own.region(record, offset, 1).offset == offset
        assert len(own._proved) <= holdings.MOST_PROVED
