"""What a ledger promises: handles that never come back, addresses that never meet and are nobody's memory."""

import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.errors import HandleError, OutOfMemory
from refimpl.limits import Limits
from refimpl.session.ledger import BASE_ALIGNMENT, END_OF_BASES, FIRST_BASE, AddressSpace, Ledger

USER_ADDRESSES = 1 << 47
"""end of the addresses that a process can have on the 64-bit machines that this runs on"""

sizes = st.one_of(st.just(0), st.integers(1, 10), st.integers(1, 1 << 40), st.sampled_from([4095, 4096, 4097]))


def new_ledger(seed: int = 0, **limits: int) -> Ledger:
    source = random.Random(seed)
    return Ledger(lambda: source.getrandbits(64), Limits(**limits), AddressSpace())


@given(st.lists(st.tuples(st.booleans(), sizes), max_size=40))
def test_no_two_buffers_ever_share_a_handle_or_an_address(steps: list[tuple[bool, int]]) -> None:
    ledger = new_ledger()
    ever = []
    for freeing, size in steps:
        if freeing and ledger.entries():
            ledger.free(ledger.entries()[0].handle)
        ever.append(ledger.add(0, size))
    assert len({entry.handle for entry in ever}) == len(ever)
    assert 0 not in {entry.handle for entry in ever}
    spans = sorted((entry.base, entry.base + entry.size) for entry in ever if entry.size)
    assert all(end < begin for (_, end), (begin, _) in pairwise(spans))


def test_handles_stay_different_when_the_random_source_is_stuck() -> None:
    ledger = Ledger(lambda: 0, Limits(), AddressSpace())
    handles = {ledger.free(ledger.add(0, 1).handle).handle for _ in range(5000)}
    assert len(handles) == 5000
    assert all(0 < handle < 1 << 64 for handle in handles)


def test_ledgers_of_one_process_share_neither_handles_nor_addresses() -> None:
    first, second = (Ledger(lambda: 0, Limits()) for _ in range(2))
    entries = [ledger.add(0, 100) for _ in range(50) for ledger in (first, second)]
    assert len({entry.handle for entry in entries}) == len({entry.base for entry in entries}) == 100


def test_a_handle_of_another_connection_is_refused() -> None:
    first, second = new_ledger(), new_ledger(seed=1)
    with pytest.raises(HandleError, match="HANDLE-2"):
        second.get(first.add(0, 10).handle)


@given(sizes)
def test_bases_are_aligned_and_are_no_addresses_of_the_process(size: int) -> None:
    memory = np.zeros(1 << 16, np.uint8)
    entry = new_ledger().add(0, size)
    if size == 0:
        assert entry.base == 0
        return
    assert entry.base % BASE_ALIGNMENT == 0
    assert memory.ctypes.data < USER_ADDRESSES < FIRST_BASE <= entry.base
    assert entry.base + size < END_OF_BASES


def test_a_freed_handle_is_refused_and_named() -> None:
    ledger = new_ledger()
    entry = ledger.add(2, 64)
    assert ledger.get(entry.handle) == entry
    assert ledger.free(entry.handle) == entry
    for refuse in (ledger.get, ledger.free):
        with pytest.raises(HandleError, match=f"{entry.handle:#018x}"):
            refuse(entry.handle)
    assert ledger.entries() == ()


def test_the_number_of_live_buffers_is_limited() -> None:
    ledger = new_ledger(buffers=2)
    first = ledger.add(0, 1)
    ledger.add(0, 1)
    filled = ledger.full
    with pytest.raises(OutOfMemory, match=r"limits\.buffers"):
        ledger.add(0, 1)
    ledger.free(first.handle)
    assert (filled, ledger.full) == (True, False)
    ledger.add(0, 1)


def test_addresses_run_out_before_they_wrap() -> None:
    space = AddressSpace()
    with pytest.raises(OutOfMemory, match="restart"):
        space.new_base(END_OF_BASES)
    base = space.new_base(END_OF_BASES // 2)
    assert base == FIRST_BASE
    with pytest.raises(OutOfMemory):
        space.new_base(END_OF_BASES // 2)
    assert space.new_base(1) > base


def test_the_table_holds_the_live_buffers_by_ascending_handle() -> None:
    ledger = new_ledger()
    entries = [ledger.add(0, size) for size in (10, 0, 30, 40)]
    ledger.free(entries[2].handle)
    table = ledger.table()
    assert table is ledger.table()
    assert table.handles.dtype == table.bases.dtype == np.uint64
    assert table.sizes.dtype == np.int64
    assert (np.diff(table.handles) > 0).all()
    rows = zip(table.handles.tolist(), table.bases.tolist(), table.sizes.tolist(), strict=True)
    assert set(rows) == {(entry.handle, entry.base, entry.size) for entry in ledger.entries()}
    ledger.add(0, 50)
    assert len(ledger.table().handles) == 4
