"""Configuration: YAML in, a checked and assembled pipeline out, or every problem at once."""

from turnout.config.editor_schema import json_schema
from turnout.config.effective import Effective
from turnout.config.loader import DEFAULT_CONFIG, load_pipeline, load_pipeline_file
from turnout.config.pipeline import BandSettings, FlowControlSettings, LaneSettings, Origin, Pipeline, SourceBinding
from turnout.config.problems import ConfigError, Problem
from turnout.config.shipped import shipped_profiles

__all__ = [
    "DEFAULT_CONFIG",
    "BandSettings",
    "ConfigError",
    "Effective",
    "FlowControlSettings",
    "LaneSettings",
    "Origin",
    "Pipeline",
    "Problem",
    "SourceBinding",
    "json_schema",
    "load_pipeline",
    "load_pipeline_file",
    "shipped_profiles",
]
