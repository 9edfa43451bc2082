"""A program runs with all threads unless one alone is faster."""

from refimpl.device.cpu.pace import AGAIN, FIRST, RECENT, Pace

THREADS = 4


def _run(pace: Pace, runs: int, all_threads: float, one: float) -> list[int]:
    """How many threads each of so many runs had, when a run takes so many seconds with all threads and with one."""
    used = []
    for _ in range(runs):
        threads = pace.threads(THREADS)
        pace.took(threads, one if threads == 1 else all_threads)
        used.append(threads)
    return used


def test_one_thread_is_tried_once_and_never_again_while_all_are_as_fast_as_usual() -> None:
    used = _run(Pace(), 200, all_threads=1.0, one=1.8)
    assert used == [THREADS] * FIRST + [1] + [THREADS] * (199 - FIRST)


def test_one_thread_takes_over_when_it_is_faster_from_the_beginning() -> None:
    used = _run(Pace(), FIRST + 1 + AGAIN + 1, all_threads=9.0, one=1.8)
    assert used == [THREADS] * FIRST + [1] + [1] * AGAIN + [THREADS]


def test_a_single_slow_run_changes_nothing() -> None:
    pace = Pace()
    _run(pace, 100, 1.0, 1.8)
    used = _run(pace, 1, 9.0, 1.8) + _run(pace, 50, 1.0, 1.8)
    assert set(used) == {THREADS}


def test_one_thread_takes_over_soon_after_others_take_the_processors_and_gives_back() -> None:
    pace = Pace()
    _run(pace, 100, 1.0, 1.8)
    used = _run(pace, RECENT + 10, 9.0, 1.8)
    assert used == [THREADS] * RECENT + [1] * 10
    calm = _run(pace, 100, 1.0, 1.8)
    assert calm.count(1) <= AGAIN
    assert set(calm[AGAIN:]) == {THREADS}


def test_a_trial_that_failed_is_not_repeated_at_once() -> None:
    pace = Pace()
    _run(pace, 100, 1.0, 1.8)
    used = _run(pace, 2 * (AGAIN + 1) + RECENT, 2.0, 3.0)
    assert used.count(1) <= 3


def test_growing_contexts_are_not_taken_for_slow_runs() -> None:
    pace = Pace()
    seconds, used = 1.0, []
    for _ in range(300):
        seconds *= 1.005
        used += _run(pace, 1, seconds, 1.8 * seconds)
    assert used.count(1) == 1


def test_a_single_worker_is_all_there_is() -> None:
    pace = Pace()
    for _ in range(3 * AGAIN):
        assert pace.threads(1) == 1
        pace.took(1, 1.0)
