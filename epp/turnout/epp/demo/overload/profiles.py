"""The configurations that the scenario compares, and what the shipped one promises."""

from dataclasses import dataclass

import yaml

from turnout.config import load_pipeline, shipped_profiles

PROFILE = "overload.yaml"

# A dispatched request finds a free slot, and at most a few prompts are computed before its own: 1 s is three of the
# longest. A refusal only has to travel.
FIRST_TOKEN_SECONDS = 1.0
REFUSAL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Bounds:
    """By when clients have an outcome, in seconds after sending: a first token, or a refusal."""

    queue: float
    first_token: float
    refusal: float

    @property
    def text(self) -> str:
        """In words."""
        return f"{self.first_token:g} s (first token) or {self.refusal:g} s (refusal)"


def with_flow_control() -> str:
    """The shipped profile."""
    return shipped_profiles().joinpath(PROFILE).read_text(encoding="utf-8")


def without_flow_control() -> str:
    """The same scheduling profile with the plugins that it names, and nothing else: nobody waits, nobody is refused."""
    document = yaml.safe_load(with_flow_control())
    profiles = document["schedulingProfiles"]
    named = {entry["pluginRef"] for profile in profiles for entry in profile["plugins"]}
    plugins = [plugin for plugin in document["plugins"] if plugin.get("name", plugin["type"]) in named]
    same = {key: document[key] for key in ("apiVersion", "kind", "schedulingProfiles")}
    return yaml.safe_dump({**same, "plugins": plugins}, sort_keys=False)


def bounds(profile: str) -> Bounds:
    """What a profile promises to every request that waits.

    Raises:
        ValueError: nothing bounds the wait.
    """
    settings = load_pipeline(profile).flow_control
    if settings is None or settings.default_request_ttl is None:
        raise ValueError("the profile does not bound how long a request waits")
    queue = settings.default_request_ttl.total_seconds()
    return Bounds(queue, queue + FIRST_TOKEN_SECONDS, queue + REFUSAL_SECONDS)
