"""The shape of an EndpointPickerConfig: fields, types and defaults. What the fields refer to is checked later."""

from datetime import timedelta
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from turnout.config.catalogue import DEFAULT_FAIRNESS, DEFAULT_ORDERING, DEFAULT_USAGE_LIMIT
from turnout.config.document import Value
from turnout.config.spellings import parse_duration, parse_quantity

KIND = "EndpointPickerConfig"
PREFERRED_VERSION = "llm-d.ai/v1alpha1"
DEPRECATED_VERSION = "inference.networking.x-k8s.io/v1alpha1"
OWN_VERSION = "turnout/v1"


class Section(BaseModel):
    """A mapping of the document: no unknown fields, no conversion between types, immutable."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=False)


def _not_negative(amount: int) -> int:
    if amount < 0:
        raise ValueError("is negative")
    return amount


def _not_before_zero(duration: timedelta) -> timedelta:
    if duration < timedelta(0):
        raise ValueError("is negative")
    return duration


def _share(share: float) -> float:
    if not 0 <= share <= 1:
        raise ValueError("is not within [0, 1]")
    return share


Text: TypeAlias = Annotated[str, StringConstraints(min_length=1)]
DURATION_SCHEMA = {"type": "string", "format": "go-duration", "examples": ["200ms", "1m30s"]}
Duration: TypeAlias = Annotated[
    timedelta, BeforeValidator(parse_duration), AfterValidator(_not_before_zero), WithJsonSchema(DURATION_SCHEMA)
]
QUANTITY_SCHEMA = {"type": ["string", "number"], "format": "quantity", "examples": ["1Gi", "500M", 5000]}
Quantity: TypeAlias = Annotated[
    int, BeforeValidator(parse_quantity), AfterValidator(_not_negative), WithJsonSchema(QUANTITY_SCHEMA)
]
Share: TypeAlias = Annotated[
    float, AfterValidator(_share), WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1})
]


class PluginRef(Section):
    """Names an entry of ``plugins``."""

    plugin_ref: Text = Field(alias="pluginRef")


class PluginSpec(Section):
    """One plugin: its type, its name (the type's, if none is given or it is empty) and its constructor's parameters."""

    type: Text
    name: str = ""
    parameters: dict[str, object] | None = None


class ProfilePlugin(PluginRef):
    """A plugin's place in a profile. ``onError`` is of ``turnout/v1``."""

    weight: float | None = None
    on_error: Literal["fail", "skip"] | None = Field(None, alias="onError")


class Profile(Section):
    """A scheduling profile."""

    name: Text
    plugins: list[ProfilePlugin] = []


class SourceRef(PluginRef):
    """A data source and the extractors that read its pages."""

    extractors: list[PluginRef] = []


class DataLayer(Section):
    """Where data about endpoints comes from."""

    inject_defaults: bool = Field(True, alias="injectDefaults")
    sources: list[SourceRef] = []
    discovery: PluginRef | None = None
    peer_discovery: PluginRef | None = Field(None, alias="peerDiscovery")
    cross_replica_syncer: Text | None = Field(None, alias="crossReplicaSyncerPluginRef")
    cross_replica_sync_interval: Duration = Field(timedelta(milliseconds=200), alias="crossReplicaSyncInterval")


class Band(Section):
    """Limits of one priority; 0 means the default, so that a band is always bounded."""

    priority: int = 0
    max_bytes: Quantity = Field(0, alias="maxBytes")
    max_requests: Quantity = Field(0, alias="maxRequests")
    fairness_policy: Text = Field(DEFAULT_FAIRNESS, alias="fairnessPolicyRef")
    ordering_policy: Text = Field(DEFAULT_ORDERING, alias="orderingPolicyRef")


class LaneMatch(Section):
    """Which requests are of a lane: any of the models, any of the paths, all of the headers."""

    models: list[Text] = []
    paths: list[Text] = []
    headers: dict[str, str] = {}


class LaneEndpoints(Section):
    """Which endpoints serve a lane."""

    match_labels: dict[str, str] = Field({}, alias="matchLabels")


class Lane(Section):
    """A class of requests and the endpoints that can serve it."""

    name: Text
    match: LaneMatch = LaneMatch.model_validate({})
    endpoints: LaneEndpoints = LaneEndpoints.model_validate({})


class FlowControl(Section):
    """Queueing limits and policies. What ``OWN_FLOW_FIELDS`` names is of ``turnout/v1``."""

    max_bytes: Quantity = Field(0, alias="maxBytes")
    max_requests: Quantity = Field(0, alias="maxRequests")
    default_request_ttl: Duration | None = Field(None, alias="defaultRequestTTL")
    no_endpoint_request_ttl: Duration | None = Field(None, alias="noEndpointRequestTTL")
    default_priority_band: Band | None = Field(None, alias="defaultPriorityBand")
    default_negative_priority_band: Band | None = Field(None, alias="defaultNegativePriorityBand")
    priority_bands: list[Band] = Field([], alias="priorityBands")
    usage_limit_policy: Text = Field(DEFAULT_USAGE_LIMIT, alias="usageLimitPolicyPluginRef")
    saturation_detector: PluginRef | None = Field(None, alias="saturationDetector")
    enable_eviction: bool = Field(False, alias="enableEviction")
    strategy: Literal["fifo", "priority", "slo-aware", "cost-optimized", "adaptive"] | None = None
    head_of_line: Literal["strict", "perLane"] = Field("strict", alias="headOfLine")
    lanes: list[Lane] = []
    max_evicted_share: Share = Field(1.0, alias="maxEvictedShare")


OWN_FLOW_FIELDS = ("strategy", "headOfLine", "lanes", "maxEvictedShare")
"""The fields of ``flowControl`` that only ``turnout/v1`` has."""


class RequestHandler(Section):
    """How request bodies are read."""

    parsers: list[PluginRef] = []


class EndpointPickerConfig(Section):
    """The whole document."""

    api_version: Literal["llm-d.ai/v1alpha1", "inference.networking.x-k8s.io/v1alpha1", "turnout/v1"] | None = Field(
        None, alias="apiVersion"
    )
    kind: Literal["EndpointPickerConfig"] | None = None
    feature_gates: list[str] = Field([], alias="featureGates")
    plugins: list[PluginSpec] = []
    scheduling_profiles: list[Profile] = Field([], alias="schedulingProfiles")
    data_layer: DataLayer | None = Field(None, alias="dataLayer")
    flow_control: FlowControl | None = Field(None, alias="flowControl")
    request_handler: RequestHandler | None = Field(None, alias="requestHandler")
    saturation_detector: PluginRef | None = Field(None, alias="saturationDetector")
    parser: PluginRef | None = None


NO_BAND = Band.model_validate({})
NO_FLOW_CONTROL = FlowControl.model_validate({})
"""What an absent band and an absent ``flowControl`` mean."""

NO_DATA_LAYER = DataLayer.model_validate({})
"""What an absent ``dataLayer`` means."""


def without_nulls(data: dict[str, Value]) -> dict[str, Value]:
    """The document without fields that are null, which means unset; parameters of plugins are left as they are."""
    return {key: value if key == "parameters" else _strip(value) for key, value in data.items() if value is not None}


def _strip(value: Value) -> Value:
    if isinstance(value, list):
        return [_strip(item) for item in value]
    return without_nulls(value) if isinstance(value, dict) else value
