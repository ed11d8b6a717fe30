from turnout.plugins.prefix_cache.checksums import Position, RecentBatches


def test_a_batch_is_recognised_by_number_and_content() -> None:
    recent = RecentBatches()
    recent.add(5, b"five")
    recent.add(6, b"six")
    assert recent.has(5, b"five")
    assert not recent.has(5, b"six")
    assert not recent.has(6, b"five")
    assert not recent.has(4, b"five")
    assert not recent.has(7, b"six")


def test_only_the_last_4096_batches_are_remembered() -> None:
    recent = RecentBatches()
    for sequence in range(5_000):
        recent.add(sequence, b"%d" % sequence)
    assert recent.has(4_999, b"4999")
    assert recent.has(904, b"904")
    assert not recent.has(903, b"903")
    assert len(recent._checksums) == 4_096


def test_the_last_position_restores_the_memory_of_its_batch() -> None:
    recent, restored = RecentBatches(), RecentBatches()
    recent.add(9, b"nine")
    position = recent.last
    assert position is not None
    assert position.sequence == 9
    restored.restore(Position(*position))
    assert restored.has(9, b"nine")
    assert not restored.has(8, b"eight")
    assert restored.last == position


def test_a_cleared_memory_recognises_nothing() -> None:
    recent = RecentBatches()
    recent.add(0, b"zero")
    recent.clear()
    assert not recent.has(0, b"zero")
    assert recent.last is None
    recent.add(3, b"three")
    assert recent.has(3, b"three")
    assert not recent.has(2, b"")


def test_a_new_memory_has_no_last_batch() -> None:
    assert RecentBatches().last is None
