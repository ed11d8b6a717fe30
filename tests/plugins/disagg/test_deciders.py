import pytest

from plugins.generated import produce
from turnout.framework import PROMPT, CycleState, DataProducer, Prompt
from turnout.framework.testing import make_endpoint, make_request
from turnout.plugins.disagg.deciders import (
    AlwaysDisaggMultimodalDecider,
    AlwaysDisaggPdDecider,
    PrefixBasedPdDecider,
)
from turnout.plugins.disagg.keys import DISAGG_DECISION
from turnout.plugins.prefix_cache.keys import PREFIX_MATCHES, PrefixMatches

HERE, THERE = make_endpoint("here"), make_endpoint("there")


def decided(plugin: DataProducer, name: str, prompt: Prompt, *, there: bool = False) -> bool:
    """Whether it says yes for the endpoint that has 10 blocks of 16 tokens cached, or for another one."""
    state = CycleState()
    state.write(PROMPT, prompt)
    state.write(PREFIX_MATCHES.of(""), PrefixMatches({HERE.name: 10}, 20, 16))
    produce(plugin, make_request(), state, [HERE, THERE])
    return state.read(DISAGG_DECISION.of(name))(THERE if there else HERE)


def test_always_is_always() -> None:
    assert decided(AlwaysDisaggPdDecider(), "always-disagg-pd-decider", Prompt())


@pytest.mark.parametrize(
    ("non_cached", "least_prompt", "tokens", "there", "yes"),
    [
        pytest.param(0, 0, 1000, False, False, id="0 is never"),
        pytest.param(100, 0, 320, False, True, id="160 tokens are not cached"),
        pytest.param(161, 0, 320, False, False, id="not enough of them"),
        pytest.param(161, 0, 320, True, True, id="elsewhere nothing is cached"),
        pytest.param(100, 321, 320, True, False, id="the prompt is too short"),
        pytest.param(100, 0, 99, True, False, id="shorter than what is asked to be uncached"),
    ],
)
def test_what_is_to_be_computed_decides(
    non_cached: int, least_prompt: int, tokens: int, there: bool, yes: bool
) -> None:
    plugin = PrefixBasedPdDecider(non_cached, least_prompt)
    assert decided(plugin, "prefix-based-pd-decider", Prompt(b"", tokens), there=there) is yes


@pytest.mark.parametrize(
    ("data", "yes"),
    [
        pytest.param(b'[{"role":"user","content":"look"}', False, id="text only"),
        pytest.param(
            b'[{"role":"user","content":[{"type": "image_url","image_url":{"url":"data:"}}]}', True, id="an image"
        ),
        pytest.param(b'[{"content":[{"type":"input_audio"}]}', True, id="sound"),
        pytest.param(b'[{"content":"{\\"type\\":\\"image_url\\"}"}', False, id="a text about images"),
    ],
)
def test_images_videos_and_sound_decide(data: bytes, yes: bool) -> None:
    plugin = AlwaysDisaggMultimodalDecider()
    assert decided(plugin, "always-disagg-multimodal-decider", Prompt(data, 10)) is yes


@pytest.mark.parametrize("wrong", [{"non_cached_tokens": -1}, {"prompt_tokens": -1}])
def test_numbers_are_checked(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be at least 0, got -1"):
        PrefixBasedPdDecider(**wrong)  # type: ignore[arg-type]
