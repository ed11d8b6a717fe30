import itertools

from hypothesis import given
from hypothesis import strategies as st

from turnout.epp.requests.openai import OpenAIParser
from turnout.epp.requests.usage import MAX_DOCUMENT_BYTES, MAX_LINE_BYTES, UsageReader
from turnout.framework import Usage

EVENTS = (
    b'data: {"choices":[{"delta":{"content":"a"}}],"usage":null}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}\r\n\r\n'
    b"data: [DONE]\n\n"
)
DOCUMENT = b'{"choices":[{}],"usage":{"prompt_tokens":9,"completion_tokens":2}}'


def pieces(body: bytes, cuts: list[int]) -> list[bytes]:
    borders = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    return [body[start:end] for start, end in itertools.pairwise(borders)]


def read(body: bytes, cuts: list[int], *, streaming: bool) -> Usage | None:
    reader = UsageReader(OpenAIParser(), streaming=streaming)
    parts = pieces(body, cuts)
    for number, part in enumerate(parts):
        reader.feed(part, last=number == len(parts) - 1)
    return reader.usage


@given(st.lists(st.integers(0, 10_000), max_size=40))
def test_usage_in_events_is_found_across_any_chunk_borders(cuts: list[int]) -> None:
    assert read(EVENTS, cuts, streaming=True) == Usage(9, 2)


@given(st.lists(st.integers(0, 10_000), max_size=20))
def test_usage_in_a_document_is_found_across_any_chunk_borders(cuts: list[int]) -> None:
    assert read(DOCUMENT, cuts, streaming=False) == Usage(9, 2)


def test_an_event_without_a_final_newline_counts() -> None:
    assert read(EVENTS.split(b"\r\n")[0], [], streaming=True) == Usage(9, 2)


def test_an_endless_line_is_dropped_and_the_next_event_is_read() -> None:
    reader = UsageReader(OpenAIParser(), streaming=True)
    for _ in range(3):
        reader.feed(b"x" * MAX_LINE_BYTES, last=False)
    assert len(reader._buffer) <= MAX_LINE_BYTES
    reader.feed(b"\n" + EVENTS, last=True)
    assert reader.usage == Usage(9, 2)


def test_a_document_over_the_bound_is_not_kept() -> None:
    reader = UsageReader(OpenAIParser(), streaming=False)
    reader.feed(b"x" * MAX_DOCUMENT_BYTES, last=False)
    reader.feed(DOCUMENT, last=True)
    assert reader.usage is None
    assert not reader._buffer
