import sys
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path

import pytest

from turnout.framework import (
    DataProducer,
    DecisionAdmitter,
    Filter,
    Parser,
    Picker,
    PluginLoadError,
    PreRequest,
    ProfileHandler,
    Registry,
    ResponseBody,
    ResponseComplete,
    Scorer,
)
from turnout.framework.registry import ENTRY_POINT_GROUP, interfaces_of, serves, signature_problems
from turnout.framework.testing import check_signatures


def offered(folder: Path, distribution: str, **types: str) -> list[EntryPoint]:
    """The entry points of an installed distribution, as its metadata lists them."""
    info = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    lines = "\n".join(f"{name.replace('_', '-')} = {target}" for name, target in types.items())
    (info / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\n{lines}\n")
    return list(Distribution.at(info).entry_points)


def test_a_type_is_loaded_by_its_name(tmp_path: Path) -> None:
    registry = Registry.from_entry_points(offered(tmp_path, "one", my_type="collections:OrderedDict"))
    assert registry.names() == ["my-type"]
    assert registry.load("my-type") is sys.modules["collections"].OrderedDict


def test_installed_distributions_are_searched_by_default() -> None:
    registry = Registry.from_entry_points()
    assert {"queue-scorer", "max-score-picker", "single-profile-handler"} <= set(registry.names())


def test_an_unknown_type_is_an_error() -> None:
    with pytest.raises(PluginLoadError, match="plugin type 'ghost': no installed distribution offers it") as raised:
        Registry.from_entry_points([]).load("ghost")
    assert raised.value.plugin_type == "ghost"


def test_two_distributions_with_one_name_are_an_error_that_names_both(tmp_path: Path) -> None:
    found = offered(tmp_path, "one", mine="collections:OrderedDict")
    found += offered(tmp_path, "two", mine="collections:Counter", fine="collections:Counter")
    registry = Registry.from_entry_points(found)
    with pytest.raises(PluginLoadError) as raised:
        registry.load("mine")
    assert raised.value.problem == "offered more than once: collections:Counter of two, collections:OrderedDict of one"
    assert registry.load("fine") is sys.modules["collections"].Counter


def test_a_distribution_that_is_found_twice_is_no_conflict(tmp_path: Path) -> None:
    found = offered(tmp_path, "one", mine="collections:OrderedDict")
    assert Registry.from_entry_points(found * 2).load("mine") is sys.modules["collections"].OrderedDict


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        pytest.param("import there_is_no_such_module", "No module named 'there_is_no_such_module'", id="import"),
        pytest.param("x = (", "'(' was never closed", id="syntax"),
        pytest.param("y = 1", "has no attribute 'Plugin'", id="no such class"),
        pytest.param("raise RuntimeError('needs a GPU')", "RuntimeError: needs a GPU", id="raises while imported"),
        pytest.param("Plugin = 3", "broken_plugin:Plugin of broken-dist is not callable", id="not callable"),
    ],
)
def test_a_plugin_that_cannot_be_imported_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, problem: str
) -> None:
    (tmp_path / "broken_plugin.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_plugin", raising=False)
    registry = Registry.from_entry_points(offered(tmp_path, "broken-dist", broken="broken_plugin:Plugin"))
    with pytest.raises(PluginLoadError) as raised:
        registry.load("broken")
    assert "broken_plugin:Plugin of broken-dist" in raised.value.problem
    assert problem in raised.value.problem
    monkeypatch.delitem(sys.modules, "broken_plugin", raising=False)


def test_a_plugin_that_nobody_names_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "untouched_plugin.py").write_text("raise RuntimeError")
    monkeypatch.syspath_prepend(tmp_path)
    found = offered(tmp_path, "one", broken="untouched_plugin:Plugin", mine="collections:OrderedDict")
    registry = Registry.from_entry_points(found)
    registry.load("mine")
    assert "untouched_plugin" not in sys.modules


class Accountant:
    async def produce(self, request: object, state: object, endpoints: object) -> None: ...
    def pre_request(self, request: object, state: object, result: object) -> None: ...
    def response_body(self, request: object, state: object, response: object, chunk: object) -> None: ...
    def response_complete(self, request: object, state: object, completion: object) -> None: ...


class AdmitsDecisions:
    def admit_decision(self, request: object, state: object, result: object) -> None: ...


class HandlesProfiles:
    def pick(self, request: object, state: object, profiles: object, results: object) -> None: ...
    def process_results(self, request: object, state: object, results: object) -> None: ...


class Picks:
    def pick(self, request: object, state: object, scored: object) -> None: ...


class ScoresAndFilters:
    def score(self, request: object, state: object, endpoints: object) -> None: ...
    def filter(self, request: object, state: object, endpoints: object) -> None: ...


@pytest.mark.parametrize(
    ("plugin", "expected"),
    [
        pytest.param(Accountant(), (DataProducer, PreRequest, ResponseBody, ResponseComplete), id="one for several"),
        pytest.param(AdmitsDecisions(), (DecisionAdmitter,), id="an admitter of decisions is no other"),
        pytest.param(HandlesProfiles(), (ProfileHandler,), id="a handler is no picker"),
        pytest.param(Picks(), (Picker,), id="a picker is no handler"),
        pytest.param(ScoresAndFilters(), (Filter, Scorer), id="filter and scorer"),
        pytest.param(object(), (), id="nothing"),
    ],
)
def test_what_a_plugin_serves_is_read_off_its_methods(plugin: object, expected: tuple[type, ...]) -> None:
    assert interfaces_of(plugin) == expected
    assert signature_problems(plugin) == []
    assert not serves(plugin, Parser)


class TooFew:
    def score(self, request: object, endpoints: object) -> None: ...


class TooMany:
    def filter(self, request: object, state: object, endpoints: object, extra: object) -> None: ...


class OtherNames:
    def score(self, r: object, s: object, e: object, bonus: float = 1.0) -> None: ...


class NotAsync:
    def produce(self, request: object, state: object, endpoints: object) -> None: ...


class Async:
    async def score(self, request: object, state: object, endpoints: object) -> None: ...


class ParserOfNothing:
    def parse(self, path: object, body: object) -> None: ...
    def rewrite_model(self, body: object, model: object) -> None: ...
    def usage(self, body: object) -> None: ...


class SourceLeftOpen:
    interval_seconds = None

    async def fetch(self, endpoint: object) -> None: ...


class SourceThatCannotAwait(SourceLeftOpen):
    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("plugin", "problem"),
    [
        pytest.param(
            TooFew(),
            "score() of a Scorer takes (request, state, endpoints): too many positional arguments",
            id="a parameter is missing",
        ),
        pytest.param(
            TooMany(),
            "filter() of a Filter takes (request, state, endpoints): missing a required argument: 'extra'",
            id="a parameter too many",
        ),
        pytest.param(NotAsync(), "produce() of a DataProducer must be async", id="not async"),
        pytest.param(Async(), "score() of a Scorer must be a plain function", id="async"),
        pytest.param(ParserOfNothing(), "a Parser must have 'paths'", id="an attribute is missing"),
        pytest.param(SourceLeftOpen(), "a DataSource must have 'close'", id="a second method is missing"),
        pytest.param(
            SourceThatCannotAwait(), "close() of a DataSource must be async", id="a second method is not async"
        ),
    ],
)
def test_a_method_that_does_not_fit_is_described(plugin: object, problem: str) -> None:
    assert signature_problems(plugin) == [problem]
    with pytest.raises(AssertionError) as raised:
        check_signatures(plugin)
    assert str(raised.value) == problem


def test_the_names_of_parameters_are_the_plugin_s_own_affair() -> None:
    assert signature_problems(OtherNames()) == []
