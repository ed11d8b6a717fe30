"""The HTTP endpoints of one simulated server."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import NoReturn

import msgspec
import xxhash
from aiohttp import web

from turnout.epp.simulator.driver import EngineDriver, EngineStoppedError, Generation
from turnout.epp.simulator.engine import Engine
from turnout.epp.simulator.faults import Fault, FaultInjector
from turnout.epp.simulator.kv_links import parse_kv_links
from turnout.epp.simulator.metrics_page import CONTENT_TYPE, MetricsPage
from turnout.epp.simulator.openai_requests import ParsedRequest, RequestError, parse_chat, parse_completion
from turnout.epp.simulator.openai_responses import DONE, ResponseFormat, Usage, error_body, models_body, usage_of
from turnout.epp.simulator.options import SimServerOptions
from turnout.epp.simulator.remote_prefill import RemotePrefill
from turnout.epp.simulator.rendering import parse_tokenize, rendered_body, tokenized_body
from turnout.epp.simulator.sequence import GenerationRequest
from turnout.epp.simulator.tokens import generate_words
from turnout.plugins.disagg.routing_headers import PREFILLER

_COMPLETIONS, _CHAT = "/v1/completions", "/v1/chat/completions"
_FAULT, _KV_LINKS, _KV_TRANSFERS = "/sim/fault", "/sim/kv-links", "/sim/kv-transfers"
_CONTROLS = frozenset({_FAULT, _KV_LINKS, _KV_TRANSFERS})
_RESET_AFTER = web.RequestKey("reset_after", int)
_MAX_LOAD_FORMAT = 16

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class SimRoutes:
    """The handlers; holds no state beside the engine, its driver, its KV connector and the active fault."""

    def __init__(
        self,
        options: SimServerOptions,
        engine: Engine,
        driver: EngineDriver,
        faults: FaultInjector,
        page: MetricsPage,
        remote: RemotePrefill,
    ) -> None:
        self._options = options
        self._engine = engine
        self._driver = driver
        self._faults = faults
        self._page = page
        self._remote = remote
        self._started_at = int(time.time())

    def application(self, max_body_bytes: int) -> web.Application:
        """Return the application that serves these routes."""

        @web.middleware
        async def show_faults(request: web.Request, handler: _Handler) -> web.StreamResponse:
            if request.path not in _CONTROLS:
                await self._strike(request)
            return await handler(request)

        application = web.Application(middlewares=[_answer_errors, show_faults], client_max_size=max_body_bytes)
        application.add_routes(
            [
                web.post(_COMPLETIONS, self._completions),
                web.post(_CHAT, self._chat),
                web.post(f"{_COMPLETIONS}/render", self._render_completion),
                web.post(f"{_CHAT}/render", self._render_chat),
                web.post("/tokenize", self._tokenize),
                web.get("/v1/models", self._models),
                web.get("/health", self._health),
                web.get("/metrics", self._metrics),
                web.post("/reset_prefix_cache", self._reset_prefix_cache),
                web.post(_FAULT, self._set_fault),
                web.post(_KV_LINKS, self._set_kv_links),
                web.get(_KV_TRANSFERS, self._kv_transfers),
            ]
        )
        return application

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        return await self._generate(request, parse_completion(await request.read()))

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._generate(request, parse_chat(await request.read()))

    async def _render_completion(self, request: web.Request) -> web.Response:
        return self._rendered(parse_completion(await request.read()))

    async def _render_chat(self, request: web.Request) -> web.Response:
        return self._rendered(parse_chat(await request.read()))

    def _rendered(self, parsed: ParsedRequest) -> web.Response:
        self._lora_name(parsed.model)
        return web.Response(body=rendered_body(parsed, self._options.max_model_len), content_type="application/json")

    async def _tokenize(self, request: web.Request) -> web.Response:
        parsed = parse_tokenize(await request.read())
        self._lora_name(parsed.model)
        return web.Response(body=tokenized_body(parsed, self._options.max_model_len), content_type="application/json")

    async def _models(self, _: web.Request) -> web.Response:
        options = self._options
        body = models_body(options.model, options.lora_names, options.max_model_len, self._started_at)
        return web.Response(body=body, content_type="application/json")

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._page.render(), headers={"Content-Type": CONTENT_TYPE})

    async def _reset_prefix_cache(self, _: web.Request) -> web.Response:
        # vLLM answers 200 as well when blocks are in use and nothing was reset.
        self._engine.reset_prefix_cache()
        return web.Response()

    async def _set_fault(self, request: web.Request) -> web.Response:
        try:
            fault = msgspec.json.decode(await request.read(), type=Fault)
        except msgspec.DecodeError as error:
            raise RequestError(400, "BadRequestError", f"fault: {error}") from error
        self._faults.activate(fault)
        return web.Response(body=msgspec.json.encode(fault), content_type="application/json")

    async def _set_kv_links(self, request: web.Request) -> web.Response:
        try:
            links = parse_kv_links(await request.read())
        except ValueError as error:
            raise RequestError(400, "BadRequestError", str(error)) from error
        self._remote.links = links
        return web.Response(body=msgspec.json.encode(links), content_type="application/json")

    async def _kv_transfers(self, _: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(self._remote.by_peer()), content_type="application/json")

    async def _generate(self, request: web.Request, parsed: ParsedRequest) -> web.StreamResponse:
        wanted = self._generation_request(parsed)
        prefiller = request.headers.get(PREFILLER)
        if prefiller and self._remote.links is not None:
            received = await self._remote.fetch(wanted, prefiller, request.path, await request.read())
            wanted = replace(wanted, received=received)
        generation = self._driver.open(wanted)
        try:
            if parsed.stream:
                return await self._answer_stream(request, parsed, generation)
            return await self._answer_whole(request, parsed, generation)
        finally:
            # Also runs when the client goes away, which cancels this handler.
            self._driver.close(generation)

    def _generation_request(self, parsed: ParsedRequest) -> GenerationRequest:
        lora_name = self._lora_name(parsed.model)
        length, finish_reason = parsed.output_length(self._options.max_model_len)
        prefix = "chatcmpl" if parsed.kind == "chat" else "cmpl"
        seed = xxhash.xxh3_64_intdigest(parsed.prompt, seed=self._options.seed)
        return GenerationRequest(
            request_id=f"{prefix}-{uuid.uuid4().hex}",
            prompt=parsed.prompt,
            output=generate_words(seed, length),
            lora_name=lora_name,
            cache_salt=parsed.cache_salt,
            finish_reason=finish_reason,
        )

    def _lora_name(self, model: str | None) -> str | None:
        if model is None or model == self._options.model:
            return None
        if model in self._options.lora_names:
            return model
        raise RequestError(404, "NotFoundError", f"The model `{model}` does not exist.", "model")

    async def _answer_whole(
        self, request: web.Request, parsed: ParsedRequest, generation: Generation
    ) -> web.StreamResponse:
        length = len(generation.request.output)
        reset_after = request.get(_RESET_AFTER)
        if reset_after is not None:
            await generation.reach(min(reset_after, length))
            await _reset_connection(request)
        await generation.reach(length)
        body = _response_format(parsed, generation, self._options.model).whole(_usage(generation))
        return web.Response(body=body, content_type="application/json", headers=self._load_headers(request))

    async def _answer_stream(
        self, request: web.Request, parsed: ParsedRequest, generation: Generation
    ) -> web.StreamResponse:
        stream = _response_format(parsed, generation, self._options.model).stream()
        headers = {"Content-Type": "text/event-stream; charset=utf-8", **self._load_headers(request)}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        pending = stream.opening()
        sent, length = 0, len(generation.request.output)
        reset_after = request.get(_RESET_AFTER, length + 1)
        while sent < length:
            try:
                reached = await generation.reach(sent + 1)
            except EngineStoppedError:
                await _reset_connection(request)
            await response.write(pending + stream.tokens(sent, reached))
            pending, sent = b"", reached
            if sent >= reset_after:
                await _reset_connection(request)
        ending = stream.usage(_usage(generation)) if parsed.include_usage else b""
        await response.write(ending + DONE)
        await response.write_eof()
        return response

    def _load_headers(self, request: web.Request) -> dict[str, str]:
        """Return the load report (ORCA) that the request asks for."""
        wanted = request.headers.get("endpoint-load-metrics-format", "")[:_MAX_LOAD_FORMAT].upper()
        if wanted not in ("TEXT", "JSON"):
            return {}
        snapshot = self._engine.snapshot()
        metrics = {
            "num_requests_waiting": float(snapshot.waiting),
            "kv_cache_usage_perc": snapshot.kv_cache_usage,
        }
        if wanted == "JSON":
            report = msgspec.json.encode({"named_metrics": metrics}).decode()
        else:
            report = ", ".join(f"named_metrics.{name}={value}" for name, value in metrics.items())
        return {"endpoint-load-metrics": f"{wanted} {report}"}

    async def _strike(self, request: web.Request) -> None:
        """Let the active fault happen to one request; returns when it is to be answered after all."""
        is_generation = request.path in (_COMPLETIONS, _CHAT)
        kind = self._faults.strike(is_generation=is_generation)
        if kind == "error":
            raise RequestError(500, "InternalServerError", "simulated fault: error")
        if kind == "hang":
            await _wait_for_disconnect()
        if kind == "reset":
            after_tokens = self._faults.active.after_tokens
            if after_tokens == 0 or not is_generation:
                await _reset_connection(request)
            request[_RESET_AFTER] = after_tokens


@web.middleware
async def _answer_errors(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Give every refusal an OpenAI error body."""
    try:
        return await handler(request)
    except RequestError as error:
        return _error_response(error)
    except EngineStoppedError:
        return _error_response(RequestError(503, "ServiceUnavailableError", "the engine has stopped"))
    except web.HTTPException as error:
        refusal = RequestError(error.status, error.reason.replace(" ", "") + "Error", error.text or error.reason)
        return _error_response(refusal)


def _error_response(error: RequestError) -> web.Response:
    return web.Response(status=error.status, body=error_body(error), content_type="application/json")


def _response_format(parsed: ParsedRequest, generation: Generation, base_model: str) -> ResponseFormat:
    request = generation.request
    model = parsed.model or base_model
    created = int(time.time())
    return ResponseFormat(parsed.kind, request.request_id, created, model, request.output, request.finish_reason)


def _usage(generation: Generation) -> Usage:
    return usage_of(len(generation.request.prompt), generation.emitted, generation.cached_tokens)


async def _wait_for_disconnect() -> NoReturn:
    """Wait until the client goes away or the server closes, either of which cancels the handler."""
    while True:
        await asyncio.Event().wait()


async def _reset_connection(request: web.Request) -> NoReturn:
    """Reset the TCP connection; what was written but not sent is lost."""
    transport = request.transport
    if transport is not None:
        # A duplicate, because transports hide their socket; the linger setting belongs to the connection, not
        # to the handle.
        with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    await _wait_for_disconnect()
