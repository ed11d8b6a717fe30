import pytest

from config.fakes import HEAD, OWN_HEAD, load, problems, warnings

PLUGINS = """\
plugins:
- {type: queue-scorer}
- {type: all-filter}
- {type: max-score-picker}
- {type: max-score-picker, name: other-picker}
- {type: late-writer}
"""


def profile(*entries: str) -> str:
    return PLUGINS + "schedulingProfiles:\n- name: a\n  plugins:\n" + "".join(f"  - {entry}\n" for entry in entries)


def test_without_profiles_one_holds_everything_in_the_order_of_the_file() -> None:
    pipeline = load(
        "plugins: [{type: all-filter}, {type: late-writer}, {type: queue-scorer}, {type: filter-and-scorer}]"
    )
    (only,) = pipeline.scheduler.profiles
    assert only.name == "default"
    assert [named.name for named in only.filters] == ["all-filter", "filter-and-scorer"]
    assert [(scored.scorer.name, scored.weight) for scored in only.scorers] == [
        ("queue-scorer", 1.0),
        ("filter-and-scorer", 1.0),
    ]
    assert only.picker.name == "max-score-picker"
    assert pipeline.scheduler.profile_handler.name == "single-profile-handler"


def test_a_profile_keeps_order_weights_and_its_picker() -> None:
    pipeline = load(
        profile("{pluginRef: all-filter}", "{pluginRef: queue-scorer, weight: -2}", "{pluginRef: other-picker}")
    )
    (only,) = pipeline.scheduler.profiles
    assert [named.name for named in only.filters] == ["all-filter"]
    assert [scored.weight for scored in only.scorers] == [-2.0]
    assert only.picker.name == "other-picker"


def test_the_first_picker_of_the_file_serves_profiles_without_one() -> None:
    (only,) = load(profile("{pluginRef: queue-scorer}")).scheduler.profiles
    assert only.picker.name == "max-score-picker"


def test_on_error_skip_makes_filters_and_scorers_optional() -> None:
    body = profile("{pluginRef: all-filter, onError: skip}", "{pluginRef: queue-scorer, onError: fail}")
    (only,) = load(body, head=OWN_HEAD).scheduler.profiles
    assert only.filters[0].optional
    assert not only.scorers[0].scorer.optional


@pytest.mark.parametrize(
    ("body", "head", "found"),
    [
        pytest.param(
            profile("{pluginRef: queue-scorer, onError: skip}"),
            HEAD,
            [
                (
                    "12: schedulingProfiles[0].plugins[0].onError: is a field of another version; write "
                    "apiVersion: turnout/v1"
                )
            ],
            id="onError in a file of the field",
        ),
        pytest.param(
            profile("{pluginRef: max-score-picker, onError: skip}"),
            OWN_HEAD,
            [
                (
                    "12: schedulingProfiles[0].plugins[0].onError: plugin 'max-score-picker' is no filter "
                    "or scorer; remove it"
                )
            ],
            id="onError of a picker",
        ),
        pytest.param(
            profile("{pluginRef: queue-scorer, onError: retry}"),
            OWN_HEAD,
            ["12: schedulingProfiles[0].plugins[0].onError: 'retry' is not accepted; accepted: 'fail' or 'skip'"],
            id="another word for onError",
        ),
        pytest.param(
            profile("{pluginRef: max-score-picker}", "{pluginRef: other-picker}"),
            HEAD,
            [
                (
                    "13: schedulingProfiles[0].plugins[1]: a second picker beside 'max-score-picker'; "
                    "exactly one picker in a profile"
                )
            ],
            id="two pickers",
        ),
        pytest.param(
            profile("{pluginRef: queue-scorre}"),
            HEAD,
            [
                (
                    "12: schedulingProfiles[0].plugins[0].pluginRef: 'queue-scorre' names no entry of "
                    "plugins; did you mean "
                    "'queue-scorer'? accepted: all-filter, late-writer, max-score-picker, other-picker, queue-scorer"
                )
            ],
            id="a reference to nothing",
        ),
        pytest.param(
            profile("{pluginRef: queue-scorer, weight: .inf}", "{weight: 1}"),
            HEAD,
            [
                "12: schedulingProfiles[0].plugins[0].weight: is inf; accepted: a finite number",
                (
                    "13: schedulingProfiles[0].plugins[1]: the required field 'pluginRef' is missing; "
                    "accepted: onError, pluginRef, weight"
                ),
            ],
            id="an infinite weight and a missing reference",
        ),
        pytest.param(
            "plugins: [{type: many-profile-handler}]\nschedulingProfiles: [{name: a}, {name: b},\n  {name: a}]\n",
            HEAD,
            ["5: schedulingProfiles[2].name: duplicate profile name 'a'; each name is used once"],
            id="two profiles of one name",
        ),
        pytest.param(
            "schedulingProfiles: [{name: a}, {name: b}]\n",
            HEAD,
            ["1: plugins: there is no profile handler; accepted: one plugin that is a ProfileHandler"],
            id="two profiles without a handler",
        ),
        pytest.param(
            "plugins: [{type: single-profile-handler}]\nschedulingProfiles: [{name: a}, {name: b}]\n",
            HEAD,
            [
                (
                    "3: plugins[0]: single-profile-handler runs exactly one profile; there are 2; another "
                    "profile handler, or one profile"
                )
            ],
            id="two profiles for the handler of one",
        ),
        pytest.param(
            "plugins:\n- type: many-profile-handler\n- type: single-profile-handler\n",
            HEAD,
            ["5: plugins[1]: a second profile handler beside 'many-profile-handler'; exactly one"],
            id="two handlers",
        ),
        pytest.param(
            "plugins: [{type: tree-handler}]\nschedulingProfiles: [{name: a}, {name: fats}]\n",
            HEAD,
            [
                (
                    "3: plugins[0]: plugin 'tree-handler' runs the profile 'fast', which does not exist; "
                    "did you mean 'fats'? accepted: a, fats"
                )
            ],
            id="a profile that the handler runs and that does not exist",
        ),
        pytest.param(
            "plugins: [{type: disagg-profile-handler}]\nschedulingProfiles: [{name: a}, {name: b}]\n",
            HEAD,
            [
                (
                    "3: plugins[0].type: 'disagg-profile-handler' is a known type of the field, not offered by any "
                    "installed plugin; install a distribution that offers it, or remove it"
                )
            ],
            id="a handler that is not offered is the only problem",
        ),
    ],
)
def test_profiles_that_cannot_run_are_problems(body: str, head: str, found: list[str]) -> None:
    assert problems(body, head=head) == found


def test_a_picker_or_handler_that_nobody_offers_is_a_problem() -> None:
    assert problems("plugins: [{type: queue-scorer}]", "max-score-picker", "single-profile-handler") == [
        "1: schedulingProfiles[0].plugins: the profile has no picker; accepted: one plugin that is a Picker",
        "3: plugins: there is no profile handler; accepted: one plugin that is a ProfileHandler",
    ]


def test_entries_without_effect_are_warned_of() -> None:
    assert warnings(profile("{pluginRef: late-writer}", "{pluginRef: all-filter, weight: 2}")) == [
        (
            "12: schedulingProfiles[0].plugins[0]: plugin 'late-writer' is no filter, scorer or picker, "
            "and has no effect in a profile"
        ),
        "13: schedulingProfiles[0].plugins[1].weight: plugin 'all-filter' is no scorer; its weight is ignored",
    ]
