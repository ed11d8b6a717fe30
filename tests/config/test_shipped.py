import pytest

from turnout.config import DEFAULT_CONFIG, load_pipeline, shipped_profiles

NAMES = [
    "bursts",
    "cost-first",
    "default",
    "llm-d-default",
    "load-only",
    "lora",
    "overload",
    "precise-prefix",
    "prefix-and-load",
    "sessions",
    "slo-first",
]


def test_these_profiles_are_shipped() -> None:
    assert sorted(file.name for file in shipped_profiles().iterdir()) == [f"{name}.yaml" for name in NAMES]


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_profile_loads_without_a_warning(name: str) -> None:
    text = shipped_profiles().joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    pipeline = load_pipeline(text, source=name)
    assert pipeline.warnings == ()
    again = load_pipeline(pipeline.effective.to_yaml(), previous=pipeline)
    assert all(again.plugins[plugin] is built for plugin, built in pipeline.plugins.items())


def test_the_default_file_is_the_default() -> None:
    assert shipped_profiles().joinpath("default.yaml").read_text(encoding="utf-8") == DEFAULT_CONFIG


def test_the_field_s_default_is_shipped_beside_it() -> None:
    pipeline = load_pipeline(shipped_profiles().joinpath("llm-d-default.yaml").read_text(encoding="utf-8"))
    (profile,) = pipeline.scheduler.profiles
    assert [(scored.scorer.name, scored.weight) for scored in profile.scorers] == [
        ("queue-scorer", 2.0),
        ("kv-cache-utilization-scorer", 2.0),
        ("prefix-cache-scorer", 3.0),
    ]
