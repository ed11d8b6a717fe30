import itertools

from hypothesis import given
from hypothesis import strategies as st

from turnout.epp.requests.model_names import ModelNameRestorer

BODY = b'{"id":"1","model":"target-7b","x":1}\n{"model": "target-7b"}\n{"model":"target-7b-other"}"mod'
RESTORED = b'{"id":"1","model":"mine","x":1}\n{"model": "mine"}\n{"model":"target-7b-other"}"mod'


@given(st.lists(st.integers(0, len(BODY)), max_size=30))
def test_the_name_is_restored_across_any_chunk_borders(cuts: list[int]) -> None:
    restorer = ModelNameRestorer("target-7b", "mine")
    borders = [0, *sorted(cuts), len(BODY)]
    parts = [BODY[start:end] for start, end in itertools.pairwise(borders)]
    out = b"".join(restorer.feed(part, last=number == len(parts) - 1) for number, part in enumerate(parts))
    assert out == RESTORED


def test_names_are_compared_in_their_json_form() -> None:
    restorer = ModelNameRestorer('a"b', "c\\d")
    assert restorer.feed(b'{"model":"a\\"b"}', last=True) == b'{"model":"c\\\\d"}'


def test_no_more_than_the_pattern_is_held_back() -> None:
    restorer = ModelNameRestorer("target", "mine")
    assert restorer.feed(b'text "mo', last=False) == b"text "
    assert restorer.feed(b"re", last=False) == b'"more'
