import json
import re
from collections.abc import Sequence

import pytest

from turnout.plugins.tokens.body import read_body
from turnout.plugins.tokens.chats import read_chat
from turnout.plugins.tokens.problems import NoTokenIdsError
from turnout.plugins.tokens.templates import ChatTemplate

HELLO = ({"role": "user", "content": "hello"},)


def render(source: str, messages: Sequence[object] = HELLO, **fields: object) -> str:
    template = ChatTemplate(source, {"bos_token": "<s>"})
    body = json.dumps({"messages": messages, **fields}).encode()
    chat = read_chat(read_body("/v1/chat/completions", body), content_in_parts=template.content_in_parts)
    return template.render(chat)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        pytest.param("{{ bos_token }}{{ messages[0].content }}", "<s>hello", id="a special token and a message"),
        pytest.param("{{ eos_token }}", "", id="a special token that there is not"),
        pytest.param("{% if tools %}t{% endif %}{% if documents is none %}n{% endif %}", "n", id="no tools"),
        pytest.param("  {% if true %}\nx\n  {% endif %}\ny", "x\ny", id="blocks leave no spaces and lines"),
        pytest.param("{{ {'b': '<é>', 'a': 1} | tojson }}", '{"b": "<é>", "a": 1}', id="JSON as it is"),
        pytest.param("{{ {'a': 1} | tojson(indent=2) }}", '{\n  "a": 1\n}', id="JSON on lines"),
        pytest.param("{% for i in [1, 2] %}{{ i }}{% break %}{% endfor %}", "1", id="a loop that is left"),
        pytest.param("{% generation %}a{{ 1 }}{% endgeneration %}b", "a1b", id="marks of what the assistant said"),
        pytest.param("{% if add_generation_prompt %}go{% endif %}", "go", id="the answer is begun"),
    ],
)
def test_templates_are_rendered_as_engines_do(source: str, text: str) -> None:
    assert render(source) == text


def test_the_date_can_be_written() -> None:
    assert re.fullmatch(r"20\d\d", render("{{ strftime_now('%Y') }}"))


@pytest.mark.parametrize(
    ("source", "in_parts"),
    [
        pytest.param("{% for m in messages %}{{ m.content }}{% endfor %}", False, id="a text"),
        pytest.param(
            "{% for m in messages %}{% for p in m.content %}{% endfor %}{% endfor %}", True, id="an attribute"
        ),
        pytest.param("{% for m in messages %}{% for p in m['content'] %}{% endfor %}{% endfor %}", True, id="an item"),
        pytest.param("{% for p in messages[0].content[1:] | list %}{% endfor %}", True, id="a slice and a filter"),
        pytest.param(
            "{% macro show(content) %}{% for p in content %}{% endfor %}{% endmacro %}{{ show(messages[0].content) }}",
            True,
            id="a macro",
        ),
    ],
)
def test_a_template_that_loops_over_content_gets_parts(source: str, in_parts: bool) -> None:
    assert ChatTemplate(source, {}).content_in_parts is in_parts


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("{{ raise_exception('roles must alternate') }}", id="its own refusal"),
        pytest.param("{{ messages[5].content }}", id="a message that is not there"),
        pytest.param("{{ messages[0].content + 1 }}", id="wrong types"),
        pytest.param("{{ 1 // 0 }}", id="a division by zero"),
        pytest.param("{{ messages.append(1) }}", id="a change of the chat"),
        pytest.param("{{ ''.__class__.__mro__ }}", id="a look behind the scenes"),
        pytest.param("{{ 7 | tojson | attr('format') | tojson }}", id="what is no JSON"),
    ],
)
def test_a_chat_that_a_template_refuses_has_no_ids(source: str) -> None:
    with pytest.raises(NoTokenIdsError, match="the chat template refuses the chat: ") as caught:
        render(source)
    assert caught.value.reason == "refused"


def test_what_is_no_template_is_refused() -> None:
    with pytest.raises(ValueError, match="the chat template is none: "):
        ChatTemplate("{% for %}", {})
