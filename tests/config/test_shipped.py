import pytest

from turnout.config import DEFAULT_CONFIG, load_pipeline, shipped_profiles
from turnout.config.document import read_document

NAMES = ["bursts", "default", "load-only", "lora", "precise-prefix", "prefix-and-load", "sessions", "turnout-default"]


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
    text = shipped_profiles().joinpath("default.yaml").read_text(encoding="utf-8")
    assert read_document(text, "file").data == read_document(DEFAULT_CONFIG, "text").data
