import pytest

from turnout.epp.datalayer.exposition import Sample
from turnout.epp.datalayer.metric_spec import MetricSpec, parse_metric_spec


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        pytest.param("vllm:num_requests_waiting", MetricSpec("vllm:num_requests_waiting", {}), id="name"),
        pytest.param("m{}", MetricSpec("m", {}), id="empty braces"),
        pytest.param("m{a=b}", MetricSpec("m", {"a": "b"}), id="bare value"),
        pytest.param(' m { a = "b c" , d=e } ', MetricSpec("m", {"a": "b c", "d": "e"}), id="quoted value and blanks"),
        pytest.param("m{a=}", MetricSpec("m", {"a": ""}), id="empty value"),
    ],
)
def test_reads_the_notation(text: str, spec: MetricSpec) -> None:
    assert parse_metric_spec(text) == spec


@pytest.mark.parametrize("text", ["", "1m", "m{", "m}", "m{a}", "m{=b}", "m{a=b", "m{a=b}c", "m n", "m{a=b,}"])
def test_refuses_what_is_not_in_it(text: str) -> None:
    with pytest.raises(ValueError, match="is not a metric"):
        parse_metric_spec(text)


def test_selects_the_samples_that_have_all_labels() -> None:
    waiting = Sample({"type": "waiting", "model": "m"}, 1.0, None)
    other = Sample({"type": "scheduled", "model": "m"}, 2.0, None)
    assert parse_metric_spec("m{type=waiting}").select([waiting, other]) == [waiting]
    assert parse_metric_spec("m").select([waiting, other]) == [waiting, other]
