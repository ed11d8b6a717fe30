"""Asks prediction servers over HTTP, and tells a training server what happened."""

import asyncio
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import count
from urllib.parse import urlsplit

import aiohttp

from turnout.framework import CounterReading, Finding, GaugeReading, Reading
from turnout.plugins.circuit_breaker import CircuitBreaker
from turnout.plugins.latency.predictor_api import (
    MAX_ROWS,
    PREDICT_PATH,
    TRAIN_PATH,
    Features,
    Sample,
    Stated,
    answered,
    lesson,
    question,
)

MAX_ASKED_AT_ONCE = 128
"""Requests beyond these do without a server's prediction."""

ROW_BYTES, ENVELOPE_BYTES = 1024, 4096
"""Most that an answer has for each row, and besides."""

MAX_SAMPLES = 1000
SAMPLES_AT_ONCE = 100
TELL_EVERY_SECONDS = 1.0
TELL_TIMEOUT_SECONDS = 10.0

_ANSWERED, _LATE, _FAILED, _MALFORMED, _SKIPPED = OUTCOMES = ("answered", "timeout", "failed", "malformed", "skipped")
_SENT, _LOST = SAMPLE_OUTCOMES = ("sent", "lost")
# The samples are at fault, not the moment.
_REFUSALS = (400, 413, 422)
_HEADERS = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
_LONGEST_PROBLEM = 200


class _UnansweredError(Exception):
    """A server gave no answer that can be used; ``outcome`` is one of ``OUTCOMES``."""

    def __init__(self, outcome: str, problem: str) -> None:
        super().__init__(problem[:_LONGEST_PROBLEM])
        self.outcome = outcome


class _Server:
    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.breaker = CircuitBreaker()
        self.problem = ""

    @property
    def shown(self) -> str:
        """The address without what may be a secret."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


class HttpPredictor:
    """Prediction servers, asked in turn, and a training server; any of both may be missing.

    A server that keeps failing is left alone for a while. Samples wait in memory until the training server takes them,
    at most 1,000; older ones are lost, and counted. Connections are opened when they are first needed and belong to the
    running event loop; ``run`` tells the training server, and closes them at its end.
    """

    def __init__(self, prediction_servers: Sequence[str], training_server: str, timeout: timedelta) -> None:
        self._servers = [_Server(url) for url in prediction_servers]
        self._trainer = _Server(training_server) if training_server else None
        self._timeout = timeout.total_seconds()
        self._turns = count()
        self._asked = 0
        self._latest = 0.0
        self._outcomes: Counter[str] = Counter()
        self._samples: deque[Sample] = deque()
        self._told: Counter[str] = Counter()
        self._session: aiohttp.ClientSession | None = None
        self._is_closed = False

    # --- predictions -------------------------------------------------------------------------------------

    async def predict(self, rows: Sequence[Features], now: float) -> Sequence[Stated] | None:
        """A prediction of each row, or None if no server gives them within the timeout."""
        self._latest = max(self._latest, now)
        if not self._servers or not 0 < len(rows) <= MAX_ROWS or self._asked >= MAX_ASKED_AT_ONCE or self._is_closed:
            self._outcomes[_SKIPPED] += 1
            return None
        self._asked += 1
        try:
            return await self._first_answer(question(rows), len(rows), now)
        finally:
            self._asked -= 1

    async def _first_answer(self, content: bytes, rows: int, now: float) -> Sequence[Stated] | None:
        """Of the servers in turn: one that fails at once costs no answer."""
        deadline = asyncio.get_running_loop().time() + self._timeout
        first = next(self._turns) % len(self._servers)
        outcome = _SKIPPED
        for server in (*self._servers[first:], *self._servers[:first]):
            if not server.breaker.allows(now):
                continue
            try:
                stated = await self._answer(server, content, rows, deadline)
            except _UnansweredError as error:
                outcome, server.problem = error.outcome, str(error)
                took = self._timeout if outcome == _LATE else 0.0
                # The request's own time stands still while it waits; others may have been later.
                server.breaker.failed(now, max(self._latest, now + took))
                if outcome == _LATE:
                    break
                continue
            server.breaker.succeeded()
            self._outcomes[_ANSWERED] += 1
            return stated
        self._outcomes[outcome] += 1
        return None

    async def _answer(self, server: _Server, content: bytes, rows: int, deadline: float) -> Sequence[Stated]:
        try:
            async with asyncio.timeout_at(deadline):
                status, answer = await self._post(server.url + PREDICT_PATH, content, ENVELOPE_BYTES + ROW_BYTES * rows)
        except TimeoutError:
            raise _UnansweredError(_LATE, f"it did not answer within {self._timeout:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise _UnansweredError(_FAILED, f"{type(error).__name__}: {error}") from None
        if status != 200:
            raise _UnansweredError(_FAILED, f"it answered {status}")
        try:
            return answered(answer, rows)
        except ValueError as error:
            raise _UnansweredError(_MALFORMED, str(error)) from None

    # --- samples -----------------------------------------------------------------------------------------

    def learn(self, sample: Sample) -> None:
        """Keeps what was observed for the training server, if there is one."""
        if self._trainer is not None:
            self._samples.append(sample)
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        while len(self._samples) > MAX_SAMPLES:
            self._samples.popleft()
            self._told[_LOST] += 1

    async def run(self) -> None:
        """Tells the training server every second, until cancelled."""
        self._is_closed = False
        try:
            while True:
                await asyncio.sleep(TELL_EVERY_SECONDS)
                await self.tell()
        finally:
            await self._close()

    async def tell(self) -> None:
        """Sends the samples there are; those that cannot be sent now wait for the next time."""
        while self._trainer is not None and self._samples:
            batch = [self._samples.popleft() for _ in range(min(SAMPLES_AT_ONCE, len(self._samples)))]
            try:
                status = await self._tell(self._trainer, batch)
            except BaseException:
                self._put_back(batch)
                raise
            if status is None:
                self._put_back(batch)
                return
            self._told[_SENT if status < 300 else _LOST] += len(batch)

    def _put_back(self, batch: Sequence[Sample]) -> None:
        self._samples.extendleft(reversed(batch))
        self._drop_oldest()

    async def _tell(self, trainer: _Server, batch: Sequence[Sample]) -> int | None:
        """The status by which the samples were taken or refused for good; None if they should be sent again."""
        try:
            async with asyncio.timeout(TELL_TIMEOUT_SECONDS):
                status, _ = await self._post(trainer.url + TRAIN_PATH, lesson(batch), ENVELOPE_BYTES)
        except TimeoutError:
            trainer.problem = f"it did not answer within {TELL_TIMEOUT_SECONDS:g} s"
            return None
        except (aiohttp.ClientError, OSError, _UnansweredError) as error:
            trainer.problem = f"{type(error).__name__}: {error}"[:_LONGEST_PROBLEM]
            return None
        trainer.problem = "" if status < 300 else f"it answered {status}"
        return status if status < 300 or status in _REFUSALS else None

    # --- about itself ------------------------------------------------------------------------------------

    def findings(self) -> Iterable[Finding]:
        """Servers that are left alone at present, and a training server that takes no samples."""
        for server in self._servers:
            if server.breaker.is_open:
                text = f"no predictions from {server.shown}, and those of this process stand in: {server.problem}"
                yield Finding("prediction-server-fails", text)
        if self._trainer is not None and self._trainer.problem:
            text = f"{self._trainer.shown} takes no samples: {self._trainer.problem}"
            yield Finding("training-server-fails", text)

    def readings(self) -> Iterable[Reading]:
        """What became of questions and samples."""
        name, text = "latency_predictor_requests_total", "Requests by what came of asking prediction servers."
        for outcome in OUTCOMES:
            yield CounterReading(name, text, self._outcomes[outcome], {"outcome": outcome})
        failing = sum(server.breaker.is_open for server in self._servers)
        yield GaugeReading("latency_predictor_failing_servers", "Prediction servers that failed lately.", failing)
        name, text = "latency_predictor_samples_total", "Samples for the training server."
        for outcome in SAMPLE_OUTCOMES:
            yield CounterReading(name, text, self._told[outcome], {"outcome": outcome})
        yield GaugeReading("latency_predictor_samples_waiting", "Samples not told yet.", len(self._samples))

    # --- connections -------------------------------------------------------------------------------------

    async def _post(self, url: str, content: bytes, most: int) -> tuple[int, bytes]:
        async with self._opened().post(url, data=content, headers=_HEADERS, allow_redirects=False) as response:
            answer = bytearray()
            async for piece in response.content.iter_any():
                answer += piece
                if len(answer) > most:
                    raise _UnansweredError(_MALFORMED, f"its answer is longer than {most} bytes")
            return response.status, bytes(answer)

    def _opened(self) -> aiohttp.ClientSession:
        if self._is_closed:
            raise _UnansweredError(_SKIPPED, "the picker no longer uses this configuration")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=MAX_ASKED_AT_ONCE),
                timeout=aiohttp.ClientTimeout(),
                cookie_jar=aiohttp.DummyCookieJar(),
                # Undone compression could make any size of a few bytes.
                auto_decompress=False,
            )
        return self._session

    async def _close(self) -> None:
        self._is_closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()
