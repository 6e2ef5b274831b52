"""A memory of what was worked out lately."""

from maildir.memory import Memory


def test_what_is_not_known_is_none() -> None:
    memory = Memory()
    assert memory[b"a"] is None
    memory.remember(b"a", 1, 10)
    assert memory[b"a"] == 1
    memory.clear()
    assert memory[b"a"] is None


def test_what_is_asked_for_stays_and_the_rest_goes() -> None:
    memory = Memory()
    memory.remember(b"often", 0, 10)
    for number in range(1, 1000):
        memory.remember(number, number, 10)
        assert memory[b"often"] == 0
        assert len(memory) <= 10
    assert [number for number in range(1, 990) if memory[number] is not None] == []
    assert memory[999] == 999


def test_what_was_forgotten_is_forgotten() -> None:
    memory = Memory()
    for number in range(30):
        memory.remember(number, number, 10)
    memory.clear()
    assert [memory[number] for number in range(30)] == [None] * 30
