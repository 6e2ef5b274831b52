"""How many processes are kept waiting, as a table of what happens and what is wanted then."""

import pytest

from couriertcpd.pool import LINGER_SECONDS, LONGEST_PAUSE_SECONDS, SETTLE_SECONDS, Pool, Throttle


def filled(least: int, most: int, now: float = 0.0) -> Pool:
    pool = Pool(least, most)
    fill(pool, now)
    return pool


def fill(pool: Pool, now: float) -> int:
    missing = pool.missing(now)
    for _ in range(missing):
        pool.forked()
    pool.surplus(now)
    return missing


def take(pool: Pool, count: int, now: float) -> None:
    for _ in range(count):
        pool.taken(now)


def test_at_first_as_many_as_there_are_always() -> None:
    pool = Pool(4, 16)
    assert pool.missing(0.0) == 4
    assert pool.wait(0.0) == 0.0
    fill(pool, 0.0)
    assert (pool.missing(0.0), pool.surplus(0.0), pool.wait(0.0)) == (0, 0, None)


def test_a_few_that_are_taken_are_replaced_a_moment_later() -> None:
    pool = filled(4, 16)
    take(pool, 1, 0.0)
    assert (pool.missing(0.0), pool.wait(0.0)) == (0, LINGER_SECONDS)
    assert pool.wait(LINGER_SECONDS) == 0.0
    assert fill(pool, LINGER_SECONDS) == 1
    take(pool, 1, 2.0)
    assert (pool.missing(2.0), pool.missing(2.0 + 2 * LINGER_SECONDS)) == (0, 1)


def test_the_half_of_them_is_replaced_at_once() -> None:
    pool = filled(4, 16)
    take(pool, 2, 1.0)
    assert (pool.missing(1.0), pool.wait(1.0), pool.target) == (2, 0.0, 4)


def test_a_single_one_is_replaced_at_once() -> None:
    pool = filled(1, 1)
    take(pool, 1, 1.0)
    assert pool.missing(1.0) == 1


@pytest.mark.parametrize(("least", "most", "targets"), [(4, 16, [8, 16, 16]), (3, 10, [6, 10, 10]), (2, 2, [2, 2, 2])])
def test_each_time_that_none_is_left_twice_as_many_are_wanted(least: int, most: int, targets: list[int]) -> None:
    pool = filled(least, most)
    for target in targets:
        take(pool, pool.idle, 1.0)
        assert (pool.target, pool.missing(1.0)) == (target, target)
        fill(pool, 1.0)


def test_a_burst_that_goes_on_grows_but_once_until_there_are_new_ones() -> None:
    pool = filled(4, 64)
    take(pool, 4, 1.0)
    assert pool.target == 8


def test_after_a_burst_they_become_fewer_by_and_by() -> None:
    pool = filled(4, 16)
    for _ in range(2):
        take(pool, pool.idle, 1.0)
        fill(pool, 1.0)
    now, sizes = 1.0, []
    for _ in range(8):
        assert pool.surplus(now + SETTLE_SECONDS - 0.1) == 0
        now += SETTLE_SECONDS
        for _ in range(pool.surplus(now)):
            pool.retired()
        sizes.append(pool.idle)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 16  # some had to be forked in that time
    assert sizes[-1] == 4
    assert pool.wait(now) is None


def test_while_all_are_needed_they_stay() -> None:
    pool = filled(4, 8)
    now = 0.0
    for _ in range(20):
        now += SETTLE_SECONDS
        take(pool, pool.idle, now)
        fill(pool, now)
        assert (pool.surplus(now), pool.idle) == (0, 8)


def test_those_that_come_back_stay_while_they_are_not_too_many() -> None:
    pool = Pool(4, 6, reuse=True)
    fill(pool, 0.0)
    take(pool, 3, 1.0)
    assert fill(pool, 1.0) == 3
    for idle, surplus in ((5, 0), (6, 0), (7, 1)):
        pool.freed()
        assert (pool.idle, pool.surplus(1.0)) == (idle, surplus)


def test_with_reuse_a_few_that_are_busy_are_waited_for() -> None:
    pool = Pool(4, 16, reuse=True)
    fill(pool, 0.0)
    for _ in range(100):
        take(pool, 1, 1.0)
        assert (pool.missing(1.0), pool.wait(1.0)) == (0, None)
        pool.freed()
    take(pool, 1, 1.0)
    assert (pool.idle, pool.missing(1.0)) == (3, 0)
    take(pool, 1, 1.0)
    assert (pool.idle, pool.missing(1.0)) == (2, 2)


def test_with_reuse_one_that_has_died_is_replaced() -> None:
    pool = Pool(4, 16, reuse=True)
    for _ in range(4):
        pool.forked()
    pool.failed(0.0)
    assert pool.missing(0.0) == 0
    assert pool.wait(0.0) == LINGER_SECONDS
    assert pool.missing(LINGER_SECONDS) == 1
    pool.forked()
    pool.taken(1.0)
    assert pool.wait(1.0) is None


def test_a_loop_of_failures_is_slow() -> None:
    pool = filled(1, 4)
    pauses = []
    now = 0.0
    for _ in range(10):
        pauses.append(pool.failed(now))
        if pauses[-1]:
            assert pool.missing(now) == 0
            assert pool.missing(now + pauses[-1] - 0.01) == 0
            assert pool.wait(now) == pauses[-1]
        now += pauses[-1]
        assert fill(pool, now) == 1
    assert pauses == [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_connection_ends_the_throttling() -> None:
    pool = filled(2, 4)
    for _ in range(2):
        pool.failed(0.0)
    assert pool.missing(0.5) == 0
    fill(pool, 1.0)
    take(pool, 1, 1.0)
    assert pool.missing(1.0) == 1
    assert pool.failed(1.0) == 0.0


def test_a_fork_that_fails_is_throttled_too() -> None:
    pool = Pool(2, 4)
    assert [pool.not_forked(0.0) for _ in range(3)] == [0, 1, 2]
    assert (pool.missing(1.9), pool.missing(2.0)) == (0, 2)


def test_the_throttle_starts_anew_when_it_worked() -> None:
    throttle = Throttle()
    for _ in range(20):
        throttle.failed(0.0)
    assert throttle.pause(0.0) == LONGEST_PAUSE_SECONDS
    throttle.worked()
    assert throttle.pause(0.0) == 0.0
    assert [throttle.failed(5.0), throttle.failed(5.0)] == [0.0, 1.0]
