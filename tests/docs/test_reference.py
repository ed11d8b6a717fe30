"""The pages name everything there is, and nothing that is not there."""

import json
import re
import tomllib
from itertools import chain

import pytest
import yaml

from docs.blocks import ROOT, blocks_of, pages, prose_of
from docs.commands import flags
from docs.tables import marked, with_tables
from turnout.epp.cli import foreign_flags
from turnout.epp.requests.statuses import error_body
from turnout.epp.simulator.kv_links import parse_kv_links
from turnout.framework import Refusal, RefusalKind

LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+ (?P<title>.+)$", re.MULTILINE)
NAMED_FLAG = re.compile(r"`(?P<flag>--[a-z][a-z-]+)")
SCRIPT = "PYTHONPATH=tests python -m docs.tables"
# Flags of other programs that the pages mention.
OTHERS_FLAGS = {
    "--mode",
    "--nvidia-driver",
    "--enable-prompt-tokens-details",
    "--enable-scale-out",
    "--kv-events-config",
}


def text_of(page: str) -> str:
    return (ROOT / page).read_text()


def anchors_of(page: str) -> set[str]:
    titles = (found["title"].lower() for found in HEADING.finditer(prose_of(page)))
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", pages())
def test_tables_are_what_the_code_has(page: str) -> None:
    assert with_tables(text_of(page)) == text_of(page), f"run {SCRIPT}"


@pytest.mark.parametrize("page", pages())
def test_links_between_files_lead_somewhere(page: str) -> None:
    for found in LINK.finditer(prose_of(page)):
        file, _, anchor = found["target"].partition("#")
        if "://" in file:
            continue
        target = (ROOT / page).parent.joinpath(file).resolve() if file else ROOT / page
        assert target.exists(), f"{page} links to {found['target']}"
        if anchor:
            assert anchor in anchors_of(str(target.relative_to(ROOT))), f"{page} links to {found['target']}"


def test_every_built_in_type_has_its_table_of_parameters() -> None:
    offered = tomllib.loads(text_of("pyproject.toml"))["project"]["entry-points"]["turnout.plugins"]
    documented = {argument for name, argument in marked(text_of("docs/configuration.md")) if name == "parameters"}
    assert documented == set(offered)


def test_every_command_has_its_table_of_flags() -> None:
    documented = {argument for name, argument in marked(text_of("docs/operations.md")) if name == "flags"}
    assert documented == {flag.command for flag in flags()}


def test_every_flag_of_the_go_picker_that_is_handled_specially_is_documented() -> None:
    page = text_of("docs/compatibility.md")
    complaints = foreign_flags.separate([f"--{name}" for name in GO_FLAGS])
    handled = {*complaints.without_effect, *(text.split()[0] for text in complaints.refused)}
    assert handled == {f"--{name.partition('=')[0]}" for name in GO_FLAGS}
    assert {flag for flag in handled if f"`{flag}`" not in page} == set()


GO_FLAGS = (
    *("allow-experimental-plugins", "enable-pprof", "ha-enable-leader-election", "metrics-endpoint-auth", "tracing"),
    *("metrics-staleness-threshold=2s", "pool-group=g", "pool-namespace=n", "refresh-prometheus-metrics-interval=5s"),
    *("grpc-max-send-msg-size=1MiB", "zap-devel", "zap-encoder=json", "zap-log-level=info"),
    *("zap-stacktrace-level=error", "zap-time-encoding=iso8601", "total-queued-requests-metric"),
    *("total-running-requests-metric", "kv-cache-usage-percentage-metric", "lora-info-metric", "cache-info-metric"),
    *("endpoint-selector", "endpoint-target-ports", "metrics-client-ca-file", "metrics-cert-dir"),
    *("tls-min-version", "tls-cipher-suites"),
)


@pytest.mark.parametrize("page", pages())
def test_every_flag_that_a_page_names_exists(page: str) -> None:
    ours = set(chain.from_iterable(flag.names for flag in flags()))
    negations = {f"--no-{flag.names[0].removeprefix('--')}" for flag in flags() if flag.is_switch}
    go = {f"--{name.partition('=')[0]}" for name in GO_FLAGS}
    named = {found["flag"] for found in NAMED_FLAG.finditer(prose_of(page))}
    assert named - ours - negations - go - OTHERS_FLAGS - {"--help", "--traceback"} == set()


def test_what_an_autoscaler_asks_for_is_what_the_picker_shows() -> None:
    shown = {f"turnout_{name}" for name in GAUGES_OF_ADVICE}
    asked = [re.findall(r"turnout_autoscaling_\w+", block.text) for block in blocks_of("docs/operations.md")]
    assert len(list(chain.from_iterable(asked))) == 3
    assert set(chain.from_iterable(asked)) <= shown


GAUGES_OF_ADVICE = ("autoscaling_desired_replicas", "autoscaling_needed_replicas")


def test_an_autoscaler_makes_of_the_advice_as_many_replicas() -> None:
    objects = {
        one["kind"]: one
        for block in blocks_of("docs/operations.md")
        if "kubernetes" in block.options
        for one in yaml.safe_load_all(block.text)
    }
    (trigger,) = objects["ScaledObject"]["spec"]["triggers"]
    assert (trigger["metricType"], trigger["metadata"]["threshold"]) == ("AverageValue", "1")
    (metric,) = objects["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert metric["external"]["target"] == {"type": "AverageValue", "averageValue": "1"}
    (rule,) = yaml.safe_load(objects["ConfigMap"]["data"]["config.yaml"])["externalRules"]
    assert rule["seriesQuery"] == metric["external"]["metric"]["name"]


def test_the_error_document_is_the_one_that_clients_get() -> None:
    (shown,) = _json_blocks("docs/operations.md", shows_links=False)
    refusal = Refusal(RefusalKind.UNAVAILABLE, "the Endpoint Picker is shutting down", "rejected-shutting-down")
    assert json.loads(shown) == json.loads(error_body(refusal))


def test_the_links_of_a_simulated_server_are_a_document_that_it_reads() -> None:
    (shown,) = _json_blocks("docs/operations.md", shows_links=True)
    assert parse_kv_links(shown.encode()).link_from("10.0.0.7:8000").seconds(450_000_000_000) == 1.000002


def _json_blocks(page: str, *, shows_links: bool) -> list[str]:
    blocks = (block for block in blocks_of(page) if block.language == "json")
    return [block.text for block in blocks if ("kv-links" in block.options) is shows_links]


def test_every_page_is_reachable_from_the_readme() -> None:
    reached, waiting = set[str](), ["README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        for found in LINK.finditer(prose_of(page)):
            target = (ROOT / page).parent.joinpath(found["target"].partition("#")[0]).resolve()
            name = str(target.relative_to(ROOT)) if target.is_relative_to(ROOT) else ""
            if name in pages() and name not in reached:
                waiting.append(name)
    assert reached == set(pages())


def test_the_readme_keeps_its_promise_of_15_lines() -> None:
    blocks = blocks_of("README.md")
    plugin = next(block for block in blocks if "module" in block.options)
    profile = next(block for block in blocks if block.language == "yaml")
    assert len([line for line in plugin.text.splitlines() if line.strip()]) <= 15
    assert len(profile.text.splitlines()) <= 15
