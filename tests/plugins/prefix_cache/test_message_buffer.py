from turnout.plugins.prefix_cache.message_buffer import MAX_BUFFERED, MessageBuffer

MEBIBYTE = 1024 * 1024


def test_messages_come_out_in_their_order() -> None:
    buffer = MessageBuffer()
    assert buffer.add(1, b"one")
    assert buffer.add(2, b"two")
    assert len(buffer) == 2
    assert [buffer.pop(), buffer.pop()] == [(1, b"one"), (2, b"two")]
    assert len(buffer) == 0


def test_the_number_of_messages_is_bounded() -> None:
    buffer = MessageBuffer()
    assert all(buffer.add(number, b"") for number in range(MAX_BUFFERED))
    assert not buffer.add(4_096, b"")
    assert len(buffer) == 4_096


def test_the_bytes_of_messages_are_bounded_and_freed() -> None:
    buffer = MessageBuffer()
    assert buffer.add(0, bytes(10 * MEBIBYTE))
    assert not buffer.add(1, bytes(7 * MEBIBYTE))
    assert buffer.add(1, bytes(6 * MEBIBYTE))
    buffer.pop()
    assert buffer.add(2, bytes(10 * MEBIBYTE))
    buffer.clear()
    assert len(buffer) == 0
    assert buffer.add(3, bytes(16 * MEBIBYTE))
