import pytest

from turnout.config.problems import ConfigError, Path, Problem, Report, one_of, path_text, shown


def test_an_error_has_one_line_for_each_problem() -> None:
    error = ConfigError("a.yaml", [Problem(3, "plugins[0].type", "is wrong", "accepted: b"), Problem(4, "x", "bad")])
    assert str(error) == "a.yaml:3: plugins[0].type: is wrong; accepted: b\na.yaml:4: x: bad"
    assert error.source == "a.yaml"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        pytest.param((), "document", id="the whole document"),
        pytest.param(("plugins", 2, "type"), "plugins[2].type", id="a field of a list item"),
        pytest.param(("a\nb",), "a?b", id="a line break cannot forge a line"),
        pytest.param(("k" * 70,), "k" * 60 + "...", id="a long key is cut"),
    ],
)
def test_a_path_is_written_as_people_write_it(path: Path, text: str) -> None:
    assert path_text(path) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param("a", "'a'", id="text"),
        pytest.param(5, "5", id="a number"),
        pytest.param(True, "true", id="a boolean"),
        pytest.param(None, "null", id="null"),
        pytest.param([1], "a list", id="a list"),
        pytest.param({"a": 1}, "a mapping", id="a mapping"),
        pytest.param("x" * 99, "'" + "x" * 59 + "...", id="long text is cut"),
    ],
)
def test_a_value_is_shown_briefly(value: object, text: str) -> None:
    assert shown(value) == text


def test_a_problem_stands_at_the_nearest_known_line() -> None:
    report = Report({(): 1, ("plugins",): 4})
    report.problem(("plugins", 0, "type"), "bad")
    report.problem(("plugins", 0, "type"), "bad")
    report.warn((), "odd")
    assert report.problems == (Problem(4, "plugins[0].type", "bad"),)
    assert report.warnings == (Problem(1, "document", "odd"),)


def test_a_report_knows_what_it_has_below_a_place() -> None:
    report = Report({})
    report.problem(("lanes", 0, "match", "models"), "bad")
    report.warn(("lanes", 1), "odd")
    assert report.has_within(("lanes", 0, "match"))
    assert report.has_within(("lanes", 0, "match", "models"))
    assert not report.has_within(("lanes", 0, "endpoints"))
    assert not report.has_within(("lanes", 1))


def test_a_hint_leads_with_the_likeliest_name() -> None:
    assert one_of("wieght", ["weight", "pluginRef"]) == "did you mean 'weight'? accepted: pluginRef, weight"
    assert one_of("wieght", ["pluginRef"], ["weight"]) == "did you mean 'weight'? accepted: pluginRef"
    assert one_of("wieght", [], ["weight"]) == "did you mean 'weight'? there is none that could be named"
    assert one_of(7, ["a"]) == "accepted: a"
    assert one_of("a", []) == "there is none that could be named"
    assert one_of("", [f"{number:03}" for number in range(50)]).endswith(", 039, ...")
