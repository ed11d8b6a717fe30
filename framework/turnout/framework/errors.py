"""What can go wrong, as types with fields."""

from enum import StrEnum


class ExtensionPoint(StrEnum):
    """Where in the life of a request a plugin runs; the values label metrics and errors."""

    CLASSIFIER = "RequestClassification"
    ORDERING = "Ordering"
    FAIRNESS = "Fairness"
    SATURATION = "SaturationDetector"
    SATURATION_LISTENER = "SaturationListener"
    USAGE_LIMIT = "UsageLimit"
    DISPATCH_GATE = "DispatchGate"
    DEFERRAL = "Deferral"
    ENTRY = "QueueEntry"
    EVICTION = "Eviction"
    PROFILE_HANDLER = "ProfilePicker"
    PROCESS_RESULTS = "ProcessProfilesResults"
    FILTER = "Filter"
    SCORER = "Scorer"
    PICKER = "Picker"
    DATA_PRODUCER = "DataProducer"
    ADMITTER = "Admission"
    SCREENER = "Screener"
    DECISION_ADMITTER = "DecisionAdmission"
    PRE_REQUEST = "PreRequest"
    RESPONSE_HEADERS = "ResponseReceived"
    RESPONSE_BODY = "ResponseStreaming"
    RESPONSE_COMPLETE = "ResponseComplete"
    REQUEST_REFUSED = "RequestRefused"
    PARSER = "RequestParsing"
    RUNNABLE = "Runnable"
    READINGS = "Readings"
    ENDPOINT_WATCHER = "EndpointWatcher"
    DIAGNOSIS = "Diagnosis"
    EVENT_SOURCE = "EventSource"
    SLA_REPORT = "SlaReport"
    SCALING_ADVICE = "ScalingAdvice"
    IMPORT = "Import"


class SchedulingError(Exception):
    """What keeps a request from being scheduled, or a plugin from doing its part."""


class NoEndpointsError(SchedulingError):
    """A profile had no endpoint left: the named filter removed the last one.

    ``filter`` is the empty string when the profile had no candidate to begin with. This is an outcome of
    scheduling (a refusal), not a defect.
    """

    def __init__(self, profile: str, filter: str) -> None:  # noqa: A002 - the field's word
        self.profile = profile
        self.filter = filter
        cause = f"filter {filter!r} removed every candidate" if filter else "there were no candidates"
        super().__init__(f"profile {profile!r} has no endpoints: {cause}")


class PluginError(SchedulingError):
    """A plugin broke its contract or raised; ``__cause__`` holds what it raised, if anything."""

    def __init__(self, plugin: str, extension_point: ExtensionPoint, problem: str) -> None:
        self.plugin = plugin
        self.extension_point = extension_point
        self.problem = problem
        super().__init__(f"plugin {plugin!r} failed as {extension_point}: {problem}")


class MissingStateError(SchedulingError):
    """A plugin read a key of the cycle's state that nobody wrote for this request."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"nothing has written {key!r} for this request")


class ProtocolError(Exception):
    """The peer broke the order of the conversation."""


class PluginLoadError(Exception):
    """A plugin type cannot be found, imported or used; the message names the type and the distribution."""

    def __init__(self, plugin_type: str, problem: str) -> None:
        self.plugin_type = plugin_type
        self.problem = problem
        super().__init__(f"plugin type {plugin_type!r}: {problem}")
