"""Where two greedy texts part, and whether stock finds the two tokens equally likely."""

from conformance.interop.matrix.near_tie import Candidate, Step, parting

HOT = Candidate(b" hot", -0.50)
HOTEL = Candidate(b" hotel", -0.51)
COLD = Candidate(b" cold", -0.515)
ICY = Candidate(b" icy", -2.0)
DAY = Candidate(b" day", -0.1)
STEPS = [Step(HOT, (HOT, HOTEL, COLD, ICY)), Step(DAY, (DAY,))]


def test_the_same_text_does_not_part() -> None:
    assert parting(STEPS, b" hot day") is None


def test_a_token_that_is_as_likely_is_a_near_tie() -> None:
    found = parting(STEPS, b" cold day")
    assert found is not None
    assert (found.step, found.stock, found.other) == (0, HOT, COLD)
    assert found.is_near_tie


def test_a_less_likely_token_is_no_near_tie() -> None:
    found = parting(STEPS, b" icy day")
    assert found is not None
    assert found.other == ICY
    assert not found.is_near_tie


def test_the_longest_fitting_token_is_the_other_one() -> None:
    steps = [Step(COLD, (COLD, HOT, HOTEL))]
    found = parting(steps, b" hotel")
    assert found is not None
    assert found.other == HOTEL


def test_a_token_that_begins_with_stock_s_parts_where_it_was_taken() -> None:
    found = parting(STEPS, b" hotel day")
    assert found is not None
    assert (found.step, found.stock, found.other) == (0, HOT, HOTEL)
    assert found.is_near_tie


def test_a_token_that_stock_does_not_rank_is_no_near_tie() -> None:
    found = parting(STEPS, b" hot soup")
    assert found is not None
    assert (found.step, found.other) == (1, None)
    assert not found.is_near_tie


def test_a_text_that_ends_early_parts_where_it_ends() -> None:
    found = parting(STEPS, b" hot")
    assert found is not None
    assert found.step == 1
    assert not found.is_near_tie
