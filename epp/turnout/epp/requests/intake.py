"""Turns the headers and body of a request into the values that scheduling works with."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from turnout.epp.requests.exchange import RequestBody, RequestHead
from turnout.epp.requests.paths import choose_parser, request_path
from turnout.epp.wire_names import FAIRNESS_ID, MODEL_REWRITE, OBJECTIVE, REQUEST_ID
from turnout.framework import (
    DEFAULT_FAIRNESS_ID,
    TPOT_TARGET_HEADERS,
    TTFT_TARGET_HEADERS,
    ExtensionPoint,
    Headers,
    InferenceRequest,
    Named,
    ParsedBody,
    Parser,
    PluginError,
    plugin_boundary,
    target_seconds,
)

MAX_MODEL_NAME = 1024
"""Characters. A rewritten name is put back wherever a response has it, so an unbounded one would multiply responses."""


@dataclass(frozen=True, slots=True)
class Intake:
    """A request with what was read of its body. ``body`` is set only when it has to be replaced."""

    request: InferenceRequest
    parsed: ParsedBody
    parser: Named[Parser] | None = None
    body: bytes | None = None
    generated_id: bool = False


def take_in(head: RequestHead, body: RequestBody | None, parsers: Sequence[Named[Parser]], now: float) -> Intake:
    """Reads the request.

    A body that the proxy cut short is used if it can be read and passed over otherwise: the rest of it goes to
    the engine unseen, which will judge it.

    Raises:
        ValueError: the body cannot be read; the text is meant for the client.
        PluginError: a parser broke its contract.
    """
    headers, path = head.headers, request_path(head.headers)
    parser = choose_parser(parsers, path) if body is not None else None
    parsed = _parse(parser, path, body)
    _check_length("the model name in the request body", parsed.model)
    wanted = _rewritten_model(headers) or parsed.model
    target = wanted if body is not None and body.complete else parsed.model
    request = _request(headers, path, body, parsed, target, now)
    replacement = None
    if parser is not None and body is not None and parsed.model and target != parsed.model:
        with plugin_boundary(parser.name, ExtensionPoint.PARSER):
            replacement = parser.plugin.rewrite_model(body.data, target)
    return Intake(request, parsed, parser, replacement, generated_id=not headers.get(REQUEST_ID))


def _rewritten_model(headers: Headers) -> str:
    name = headers.get(*MODEL_REWRITE) or ""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the header {MODEL_REWRITE[0]} is not UTF-8") from None
    _check_length(f"the header {MODEL_REWRITE[0]}", name)
    return name


def _check_length(what: str, name: str) -> None:
    if len(name) > MAX_MODEL_NAME:
        raise ValueError(f"{what} has {len(name)} characters; at most {MAX_MODEL_NAME} are allowed")


def _parse(parser: Named[Parser] | None, path: str, body: RequestBody | None) -> ParsedBody:
    if parser is None or body is None:
        return ParsedBody()
    try:
        with plugin_boundary(parser.name, ExtensionPoint.PARSER):
            return parser.plugin.parse(path, body.data)
    except PluginError as error:
        # A ValueError is a parser's word to the client, not a defect.
        if not isinstance(error.__cause__, ValueError):
            raise
        if body.complete:
            raise error.__cause__ from None
        return ParsedBody()


def _request(
    headers: Headers, path: str, body: RequestBody | None, parsed: ParsedBody, target: str, now: float
) -> InferenceRequest:
    return InferenceRequest(
        request_id=headers.get(REQUEST_ID) or str(uuid.uuid4()),
        model=parsed.model,
        target_model=target,
        path=path,
        headers=headers,
        objective=headers.get(*OBJECTIVE) or "",
        fairness_id=headers.get(*FAIRNESS_ID) or DEFAULT_FAIRNESS_ID,
        stream=parsed.stream,
        max_output_tokens=parsed.max_output_tokens,
        answers=parsed.answers,
        size_bytes=len(body.data) if body is not None else 0,
        received_at=now,
        ttft_target=target_seconds(headers, TTFT_TARGET_HEADERS),
        tpot_target=target_seconds(headers, TPOT_TARGET_HEADERS),
    )
