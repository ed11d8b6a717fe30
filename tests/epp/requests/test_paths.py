import pytest

from turnout.epp.requests.openai import OpenAIParser
from turnout.epp.requests.passthrough import PassthroughParser
from turnout.epp.requests.paths import choose_parser, request_path
from turnout.framework import Headers, Named, Parser


class RenderParser(OpenAIParser):
    paths = ("chat/completions/render",)


OPENAI: Named[Parser] = Named(OpenAIParser(), "openai")
RENDER: Named[Parser] = Named(RenderParser(), "render")
FALLBACK: Named[Parser] = Named(PassthroughParser(), "fallback")


@pytest.mark.parametrize(
    ("headers", "path"),
    [
        pytest.param([(":path", "/v1/completions?a=1")], "/v1/completions", id="query cut off"),
        pytest.param([("x-original-path", "/o"), ("x-forwarded-path", "/f")], "/o", id="original before forwarded"),
        pytest.param([("x-forwarded-path", "/f")], "/f", id="forwarded"),
        pytest.param([], "/v1/completions", id="none"),
    ],
)
def test_the_path_comes_from_the_first_header_that_has_it(headers: list[tuple[str, str]], path: str) -> None:
    assert request_path(Headers(headers)) == path


@pytest.mark.parametrize(
    ("path", "name"),
    [
        pytest.param("/v1/chat/completions", "openai", id="a claim"),
        pytest.param("/prefix/v1/chat/completions/", "openai", id="prefix and trailing slash"),
        pytest.param("/v1/chat/completions/render", "render", id="the longest claim"),
        pytest.param("/v1/mycompletions", "fallback", id="not within a segment"),
        pytest.param("/health", "fallback", id="no claim"),
    ],
)
def test_the_longest_claim_by_whole_segments_wins(path: str, name: str) -> None:
    assert choose_parser([FALLBACK, RENDER, OPENAI], path).name == name


def test_a_path_nobody_claims_is_an_error_without_a_fallback() -> None:
    with pytest.raises(ValueError, match="no parser registered matching path suffix for: /health"):
        choose_parser([OPENAI], "/health")
