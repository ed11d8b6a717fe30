import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from turnout.epp.datalayer.exposition import Sample, read_samples

SAMPLES = Path(__file__).resolve().parent / "samples"

NAMES = ("up", "vllm:num_requests_waiting", "vllm:num_requests_waiting_by_reason", "a_total", "a")
BLANK = st.sampled_from((" ", "\t", "  "))
VALUE = st.one_of(
    st.floats().map(str),
    st.integers(-(10**9), 10**9).map(str),
    st.sampled_from(("+Inf", "-Inf", "NaN", "1e-05", "1.7953292714161782e+09")),
)
LABEL_VALUE = st.text(st.characters(codec="utf-8"), max_size=12)


def escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


@st.composite
def sample_lines(draw: st.DrawFn) -> str:
    labels = draw(st.dictionaries(st.sampled_from(("engine", "model_name", "le", "x")), LABEL_VALUE, max_size=3))
    inside = ",".join(f'{key}="{escaped(value)}"' for key, value in labels.items())
    comma = draw(st.sampled_from(("", ","))) if labels else ""
    timestamp = draw(st.one_of(st.just(""), st.integers(0, 10**13).map(lambda at: f" {at}")))
    braces = f"{{{inside}{comma}}}" if labels else draw(st.sampled_from(("", "{}")))
    margin = draw(st.sampled_from(("", "", " ", "\t")))
    return f"{margin}{draw(st.sampled_from(NAMES))}{braces}{draw(BLANK)}{draw(VALUE)}{timestamp}{margin}"


COMMENTS = st.sampled_from(
    ("# a 1 is no sample", "# TYPE up gauge", "# HELP up a 1 vllm:num_requests_waiting 5", "#", "")
)
PAGES = st.lists(st.one_of(sample_lines(), COMMENTS), max_size=12).map(lambda lines: "\n".join(lines) + "\n")


def by_reference(page: str) -> list[tuple[str, str]]:
    families = text_string_to_metric_families(page)
    found = [sample for family in families for sample in family.samples if sample.name in NAMES]
    return sorted((sample.name, repr((sample.labels, float(sample.value), sample.timestamp))) for sample in found)


def by_us(page: str) -> list[tuple[str, str]]:
    return sorted(
        (name, repr((labels, value, None if timestamp is None else timestamp / 1000)))
        for name, samples in read_samples(page.encode(), NAMES).items()
        for labels, value, timestamp in samples
    )


# Where Hypothesis has not run before, it first makes tables of all characters, which takes it longer than it allows.
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(PAGES)
def test_reads_what_the_reference_parser_reads(page: str) -> None:
    assert by_us(page) == by_reference(page)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(page: bytes) -> None:
    try:
        read_samples(page, NAMES)
    except ValueError:
        return
    assert page.strip() == b"" or page.lstrip()[:1] in b"#abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_:"


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*metrics*.txt")), ids=lambda path: path.name)
def test_reads_every_family_of_a_captured_page_as_the_reference_parser_does(path: Path) -> None:
    page = path.read_bytes()
    expected: dict[str, list[Sample]] = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            expected.setdefault(sample.name, []).append(Sample(sample.labels, float(sample.value), None))
    assert len(expected) >= 4
    assert read_samples(page, expected) == expected


@pytest.mark.parametrize(
    ("line", "sample"),
    [
        pytest.param("m 1", Sample({}, 1.0, None), id="bare"),
        pytest.param("  m\t1  ", Sample({}, 1.0, None), id="blanks around"),
        pytest.param("m{} 1", Sample({}, 1.0, None), id="empty braces"),
        pytest.param('m {a="b"} 1', Sample({"a": "b"}, 1.0, None), id="blank before the braces"),
        pytest.param('m{ a = "b" , c="d", }1', Sample({"a": "b", "c": "d"}, 1.0, None), id="blanks inside"),
        pytest.param(r'm{a="\\n\n\"}{,=#"} 1', Sample({"a": '\\n\n"}{,=#'}, 1.0, None), id="every escape"),
        pytest.param(r'm{a="\d"} 1', Sample({"a": r"\d"}, 1.0, None), id="an unknown escape stays"),
        pytest.param("m -2.5e3 1700000000000", Sample({}, -2500.0, 1.7e12), id="timestamp"),
        pytest.param("m +Inf", Sample({}, math.inf, None), id="infinity"),
        pytest.param('m{a="é"} 1', Sample({"a": "é"}, 1.0, None), id="UTF-8"),
        pytest.param("m 1\r", Sample({}, 1.0, None), id="carriage return"),
        pytest.param('m 5 1.5 # {trace_id="m 9"} 0.3 1.2', Sample({}, 5.0, 1.5), id="exemplar"),
        pytest.param('m{a="1"} 5 # {} 0.3\n# EOF', Sample({"a": "1"}, 5.0, None), id="OpenMetrics end"),
    ],
)
def test_reads_a_line(line: str, sample: Sample) -> None:
    assert read_samples(f"# TYPE m gauge\n{line}\nm_total 7\nxm 8\n".encode(), ["m"]) == {"m": [sample]}
    assert read_samples(line.encode(), ["m"]) == {"m": [sample]}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        pytest.param("m", "no blank between name and value", id="name alone"),
        pytest.param("m ", "no value", id="no value"),
        pytest.param("m-1", "no blank between name and value", id="no blank"),
        pytest.param("m one", "'one' is not a number", id="word"),
        pytest.param("m 1_000", "'1_000' is not a number", id="digit separator"),
        pytest.param("m 1 2 3", "something after the timestamp", id="three numbers"),
        pytest.param("m 1 x", "'x' is not a number", id="timestamp is a word"),
        pytest.param('m{a="b" 1', "malformed labels", id="brace left open"),
        pytest.param('m{a="b} 1', "malformed labels", id="quote left open"),
        pytest.param("m{a=b} 1", "malformed labels", id="value not quoted"),
        pytest.param('m{a="1",a="2"} 1', "label a given twice", id="label twice"),
        pytest.param('m{,a="1"} 1', "malformed labels", id="leading comma"),
    ],
)
def test_refuses_a_malformed_line_of_a_wanted_family_and_names_it(line: str, problem: str) -> None:
    page = f"# TYPE m gauge\nother{{}} broken\n{line}\n# EOF\n".encode()
    with pytest.raises(ValueError, match="malformed sample in line 3") as refusal:
        read_samples(page, ["m"])
    assert problem in str(refusal.value)
    assert read_samples(page, ["absent"]) == {"absent": []}


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(b"<html>\n<body>m 1</body></html>", id="HTML"),
        pytest.param(b'{"object": "list", "data": []}', id="JSON"),
        pytest.param(b"Internal Server Error", id="error text"),
        pytest.param(b"# \xff\nm 1\n", id="not UTF-8"),
        pytest.param(b"#!/bin/sh\nexit $?\n", id="script"),
        pytest.param(b"m 1\nnonsense", id="cut off in the last line"),
        pytest.param(b"\x1f\x8b\x08\x00\x00\x00", id="gzip"),
    ],
)
def test_refuses_what_is_not_an_exposition(page: bytes) -> None:
    with pytest.raises(ValueError, match="not an exposition"):
        read_samples(page, ["m"])


@pytest.mark.parametrize("page", [b"", b"\n \n"], ids=["empty", "blank"])
def test_an_empty_page_has_no_samples(page: bytes) -> None:
    assert read_samples(page, ["m"]) == {"m": []}


def test_an_error_shows_a_bounded_piece_of_the_page() -> None:
    with pytest.raises(ValueError, match="not a number") as refusal:
        read_samples(b"# m\nm " + b"x" * 100_000 + b"\n# EOF", ["m"])
    assert len(str(refusal.value)) < 500


def test_a_page_of_repeated_names_is_read_in_one_pass() -> None:
    page = b"# " + b"m   " * 500_000 + b"\nm 1\n"
    assert read_samples(page, ["m"]) == {"m": [Sample({}, 1.0, None)]}
