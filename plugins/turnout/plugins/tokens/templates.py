"""Chat templates: Jinja, rendered as engines render them."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NoReturn

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from turnout.plugins.tokens.chats import Chat
from turnout.plugins.tokens.problems import NoTokenIdsError

# What a template may raise on a chat that it was not written for.
_ERRORS = (
    jinja2.TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


class ChatTemplate:
    """One template. ``special_tokens`` are variables that it may use, such as ``bos_token``.

    Raises:
        ValueError: it is no template.
    """

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        self.source = source
        self._special_tokens = special_tokens
        environment = _environment()
        try:
            self._template = environment.from_string(source)
            self.content_in_parts = any(_content_loops(environment.parse(source)))
        except jinja2.TemplateError as error:
            raise ValueError(f"the chat template is none: {error}") from error

    def render(self, chat: Chat) -> str:
        """The prompt as text.

        Raises:
            NoTokenIdsError: the template does not take such a chat.
        """
        try:
            return self._template.render(
                {
                    **self._special_tokens,
                    **chat.variables,
                    "messages": chat.messages,
                    "tools": chat.tools,
                    "documents": chat.documents,
                }
            )
        except _ERRORS as error:
            raise NoTokenIdsError("refused", f"the chat template refuses the chat: {error}") from None


class _Generation(Extension):
    """``{% generation %}`` marks what the assistant says; it has no effect on the text."""

    tags = {"generation"}  # noqa: RUF012 - as jinja2 declares it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """The marked part itself."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


def _to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # Jinja's own filter escapes HTML.
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(template: str) -> str:
    # The engine's own local time; both are expected to run in the same zone.
    return datetime.now().astimezone().strftime(template)


def _content_loops(template: nodes.Template) -> Iterator[nodes.For]:
    """The loops over the parts of a message's content: a template that has one gets parts, as vLLM decides it."""
    return (loop for loop in template.find_all(nodes.For) if _is_content(_unwrapped(loop.iter)))


def _unwrapped(node: nodes.Node | None) -> nodes.Node | None:
    """What filters, tests and slices are applied to."""
    while True:
        match node:
            case nodes.Filter() | nodes.Test() | nodes.Getitem(arg=nodes.Slice()):
                node = node.node
            case _:
                return node


def _is_content(node: nodes.Node | None) -> bool:
    match node:
        case nodes.Name(name="content") | nodes.Getattr(attr="content"):
            return True
        case nodes.Getitem(arg=nodes.Const(value="content")):
            return True
    return False
