"""The configuration's notation of a metric: ``name`` or ``name{label=value,...}``; values may be quoted."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from turnout.epp.datalayer.exposition import Sample

_SPEC = re.compile(r"\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{(.*)\}\s*)?")
_PAIR = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*(?:"([^"]*)"|([^",\s]*))\s*')


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """A family and the labels that a sample of it must have; it may have others."""

    family: str
    labels: Mapping[str, str]

    def select(self, samples: Iterable[Sample]) -> list[Sample]:
        """Those of the family's samples that have the labels."""
        wanted = self.labels.items()
        return [sample for sample in samples if wanted <= sample.labels.items()]


def parse_metric_spec(text: str) -> MetricSpec:
    """Reads the notation.

    Raises:
        ValueError: the text is not in it.
    """
    match = _SPEC.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a metric: expected name or name{{label=value,...}}")
    labels: dict[str, str] = {}
    for pair in (match[2] or "").split(",") if (match[2] or "").strip() else ():
        found = _PAIR.fullmatch(pair)
        if found is None:
            raise ValueError(f"{text!r} is not a metric: expected label=value, got {pair.strip()!r}")
        labels[found[1]] = found[2] if found[2] is not None else found[3]
    return MetricSpec(match[1], labels)
