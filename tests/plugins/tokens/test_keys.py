from turnout.plugins.tokens.keys import TOKENIZED_PROMPT, TokenizedPrompt


def test_a_tokenized_prompt_is_as_long_as_it_has_ids() -> None:
    assert len(TokenizedPrompt((1).to_bytes(4, "little") + (70_000).to_bytes(4, "little"))) == 2
    assert len(TokenizedPrompt(problem="no prompt")) == 0


def test_the_default_producer_is_the_field_s() -> None:
    assert TOKENIZED_PROMPT.of("").producer == "token-producer"
