from hypothesis import given
from hypothesis import strategies as st

from turnout.framework import PROMPT, CycleState, InferenceRequest, Prompt
from turnout.plugins.token_fairness.known_prefixes import KnownPrefixes

REQUEST = InferenceRequest("r", target_model="m")


def state_of(data: bytes, tokens: int = 0, salt: str = "") -> CycleState:
    state = CycleState()
    state.write(PROMPT, Prompt(data, tokens, salt))
    return state


def known(*prompts: bytes, max_blocks: int = 64, known_blocks: int = 1000) -> KnownPrefixes:
    prefixes = KnownPrefixes(16, max_blocks, known_blocks)
    for prompt in prompts:
        prefixes.remember(REQUEST, state_of(prompt))
    return prefixes


A, B, C = b"a" * 16, b"b" * 16, b"c" * 16


def test_the_share_of_a_prompt_that_begins_like_an_earlier_one() -> None:
    prefixes = known(A + B + C)
    cases = [A + B + B + B, A + B + C, A + B, B + A, b"", A + B + C + b"tail"]
    assert [round(prefixes.of(REQUEST, state_of(case)).share, 3) for case in cases] == [0.5, 1.0, 1.0, 0.0, 0.0, 0.923]


def test_the_last_block_may_be_short() -> None:
    prefixes = known(A + b"short")
    assert prefixes.of(REQUEST, state_of(A + b"short")).share == 1.0
    assert round(prefixes.of(REQUEST, state_of(A + b"shorter")).share, 3) == 0.696


def test_tokens_are_spread_evenly_over_the_prompt() -> None:
    prefixes = known(A + B)
    assert prefixes.of(REQUEST, state_of(A + B + C + C, tokens=40)).tokens == 20.0
    assert prefixes.of(REQUEST, state_of(A, tokens=-5)).tokens == 0.0


def test_a_beginning_was_used_by_the_last_prompt_that_had_it() -> None:
    prefixes = known(A + B, A + C, B)
    uses = [prefixes.of(REQUEST, state_of(prompt)).last_use for prompt in (A, A + B, A + C, B, C)]
    assert uses == [2, 1, 2, 3, 0]


def test_other_models_and_salts_have_other_caches() -> None:
    prefixes = known(A)
    assert prefixes.of(InferenceRequest("r", target_model="other"), state_of(A)).share == 0.0
    assert prefixes.of(REQUEST, state_of(A, salt="s")).share == 0.0
    assert prefixes.of(InferenceRequest("r", target_model="\udcff"), state_of(A, salt="\udcff")).share == 0.0


def test_a_request_without_a_prompt_has_nothing_in_common() -> None:
    prefixes = known(b"")
    prefixes.remember(REQUEST, CycleState())
    assert prefixes.of(REQUEST, CycleState()).share == 0.0
    assert prefixes.of(REQUEST, CycleState()).tokens == 0.0


def test_of_a_long_prompt_the_first_blocks_count() -> None:
    prefixes = known(A * 8, max_blocks=2)
    assert prefixes.of(REQUEST, state_of(A * 8)).share == 0.25


def test_a_prompt_is_cut_once_for_all_that_cut_alike() -> None:
    state = state_of(A)
    known().remember(REQUEST, state)
    # Only the blocks that were named count from then on.
    state.write(PROMPT, Prompt(B, 4))
    assert known(A).of(REQUEST, state).share == 1.0
    assert KnownPrefixes(17, 64, 1000).of(REQUEST, state).share == 0.0


def test_what_was_not_used_for_longest_is_forgotten_and_of_a_prompt_its_end_first() -> None:
    prefixes = known(A + A + A, B + B + B, known_blocks=5)
    assert [round(prefixes.of(REQUEST, state_of(prompt)).share, 2) for prompt in (A * 3, B * 3)] == [0.67, 1.0]
    prefixes.remember(REQUEST, state_of(A))
    prefixes.remember(REQUEST, state_of(C + C + C))
    assert [round(prefixes.of(REQUEST, state_of(prompt)).share, 2) for prompt in (A * 3, B * 3, C * 3)] == [
        0.33,
        0.33,
        1.0,
    ]


prompts = st.lists(st.sampled_from([A, B]), max_size=6).map(b"".join)


@given(earlier=st.lists(prompts, max_size=12), prompt=prompts)
def test_with_room_for_all_the_share_is_that_of_the_longest_common_beginning(
    earlier: list[bytes], prompt: bytes
) -> None:
    common = max((common_blocks(each, prompt) for each in earlier), default=0)
    found = known(*earlier).of(REQUEST, state_of(prompt)).share
    assert found * len(prompt) == common * 16


@given(earlier=st.lists(prompts, max_size=12), room=st.integers(1, 8))
def test_what_is_known_of_a_prompt_is_the_beginning_of_it_however_little_room_there_is(
    earlier: list[bytes], room: int
) -> None:
    prefixes = known(*earlier, known_blocks=room)
    for prompt in earlier:
        shares = [prefixes.of(REQUEST, state_of(prompt[:end])).share for end in range(16, len(prompt) + 1, 16)]
        depth = shares.count(1.0)
        assert shares[:depth] == [1.0] * depth
        if depth < len(shares):
            assert round(shares[-1] * len(prompt)) == depth * 16


def common_blocks(one: bytes, other: bytes) -> int:
    depth = 0
    while depth * 16 < min(len(one), len(other)) and one[: depth * 16 + 16] == other[: depth * 16 + 16]:
        depth += 1
    return depth
