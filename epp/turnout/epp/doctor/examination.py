"""What the pages of a picker say about its prefix producers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from turnout.epp.doctor.pages import EndpointPage, FoundByPlugin, PickerPages, PluginPage
from turnout.framework import Figure

PRODUCER_TYPE_ENDING = "-prefix-cache-producer"
PREDICTED = "predicted_cached_tokens"

NO_PRODUCER = FoundByPlugin(
    "no-prefix-producer",
    "No plugin of this picker predicts what is cached, so requests do not go where their prefix is. Configure a "
    "prefix-cache-scorer, or leave the configuration out: the default has one.",
)
NO_ENDPOINTS = FoundByPlugin(
    "no-endpoints", "The picker knows no endpoint: there is nothing to predict. See its log and /readyz."
)

NOT_ASKED_YET = "no request yet"


@dataclass(frozen=True, slots=True)
class ExaminedEndpoint:
    """``note`` says why the figures may be missing or old; empty if nothing speaks against them."""

    name: str
    figures: Mapping[str, Figure]
    note: str


@dataclass(frozen=True, slots=True)
class ExaminedProducer:
    """One prefix producer: its endpoints by name, what it found, and remarks that are no findings."""

    name: str
    type: str
    endpoints: Sequence[ExaminedEndpoint]
    findings: Sequence[FoundByPlugin]
    remarks: Sequence[str]


@dataclass(frozen=True, slots=True)
class Examination:
    """``findings`` are those of the picker as a whole; each producer has its own."""

    producers: Sequence[ExaminedProducer]
    findings: Sequence[FoundByPlugin] = ()

    @property
    def count(self) -> int:
        """All findings."""
        return len(self.findings) + sum(len(producer.findings) for producer in self.producers)

    def as_dict(self) -> dict[str, object]:
        """As JSON types."""
        return {
            "findings": [_finding(finding) for finding in self.findings],
            "producers": [_producer(producer) for producer in self.producers],
        }


def examine(pages: PickerPages) -> Examination:
    """Puts together what the pages say; plugins that are no prefix producers are left out."""
    producers = [
        _examined(name, pages.types.get(name, ""), page, pages.endpoints)
        for name, page in pages.diagnosis.items()
        if _is_producer(pages.types.get(name, ""), page)
    ]
    if not producers:
        return Examination((), (NO_PRODUCER,))
    return Examination(producers, () if pages.endpoints else (NO_ENDPOINTS,))


def _is_producer(plugin_type: str, page: PluginPage) -> bool:
    return plugin_type.endswith(PRODUCER_TYPE_ENDING) or any(PREDICTED in own for own in page.endpoints.values())


def _examined(name: str, plugin_type: str, page: PluginPage, pool: Sequence[EndpointPage]) -> ExaminedProducer:
    known = {endpoint.name: endpoint for endpoint in pool}
    names = sorted({*known, *page.endpoints})
    endpoints = [
        ExaminedEndpoint(endpoint, page.endpoints.get(endpoint, {}), _note(known.get(endpoint), page.endpoints))
        for endpoint in names
    ]
    findings = sorted(page.findings, key=lambda finding: (finding.endpoint, finding.cause))
    return ExaminedProducer(name, plugin_type, endpoints, findings, _remarks(endpoints))


def _note(endpoint: EndpointPage | None, figures: Mapping[str, Mapping[str, Figure]]) -> str:
    if endpoint is None:
        return "left the pool"
    if not endpoint.in_service:
        return f"out of service: {endpoint.reason}" if endpoint.reason else "out of service"
    return "" if figures.get(endpoint.name, {}).get("requests") else NOT_ASKED_YET


def _remarks(endpoints: Sequence[ExaminedEndpoint]) -> list[str]:
    asked = [endpoint.figures for endpoint in endpoints if endpoint.figures.get("requests")]
    if not asked:
        return ["No request was sent in the last minutes; send some that share a beginning, and ask again."]
    remarks = []
    if not any(figures.get("compared_requests") for figures in asked):
        remarks.append(
            "No engine reported cached tokens with its responses. They need responses that pass the picker (turnout up "
            "--read-responses) and, with vLLM, --enable-prompt-tokens-details; until then engines are judged by their "
            "counters."
        )
    if not any(figures.get("engine_hit_rate") is not None for figures in asked):
        remarks.append(
            "No engine's counters of prefix-cache queries moved. They are read with the metrics of the endpoint; see "
            "prefix_cache_queries on /endpoints."
        )
    return remarks


def _producer(producer: ExaminedProducer) -> dict[str, object]:
    return {
        "name": producer.name,
        "type": producer.type,
        "endpoints": [
            {"name": endpoint.name, "note": endpoint.note, "figures": dict(endpoint.figures)}
            for endpoint in producer.endpoints
        ],
        "findings": [_finding(finding) for finding in producer.findings],
        "remarks": list(producer.remarks),
    }


def _finding(finding: FoundByPlugin) -> dict[str, str]:
    return {"endpoint": finding.endpoint, "cause": finding.cause, "message": finding.message}
