"""The decision tree: which profile's pick a request gets, step by step, with a reason for each step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from turnout.framework import CycleState, InferenceRequest, NoEndpointsError, ProfileOutcome, ProfileResult
from turnout.plugins.cost.keys import BudgetCheck
from turnout.plugins.latency.keys import NO_TARGETS, LatencyPredictions, SloTargets, probability_to_meet

Verdict: TypeAlias = Literal["met", "at risk", "not known"]
Cause: TypeAlias = Literal["cost", "slo", "budget"]


@dataclass(frozen=True, slots=True)
class Step:
    """A profile to try and, if ``model`` is not empty, the model that the request gets there.

    With ``from_models`` the step is for requests for one of these models only. A step with a model is passed over for a
    request whose body cannot be rewritten.

    Raises:
        ValueError: the profile or one of ``from_models`` is empty, or the model's name does not fit into a header.
    """

    profile: str
    model: str = ""
    from_models: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not self.profile or "" in self.from_models:
            raise ValueError(f"profile and from_models must not be empty, got {self.profile!r}, {self.from_models!r}")
        # What is read back as something else in a header of the response is no name.
        if not (self.model.isascii() and self.model.isprintable()) or self.model.strip(" ") != self.model:
            raise ValueError(f"model must be printable ASCII without space around it, got {self.model!r}")

    def target_model(self, request: InferenceRequest) -> str:
        """The model that the step gives the request; empty if it leaves it."""
        return "" if self.model == request.target_model else self.model


@dataclass(frozen=True, slots=True)
class Tree:
    """The steps: ``start`` always, ``cheaper`` where the SLO is met, ``faster`` where it is at risk, and
    ``over_budget`` for what a budget does not allow.
    """

    start: Step
    cheaper: tuple[Step, ...] = ()
    faster: tuple[Step, ...] = ()
    over_budget: tuple[Step, ...] = ()
    least_probability: float = 0.9


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known of one request.

    ``costs`` and ``predictions`` are by endpoint name; ``targets`` are what is left of them.
    """

    request: InferenceRequest
    state: CycleState
    costs: Mapping[str, float]
    predictions: LatencyPredictions
    targets: SloTargets
    budget: BudgetCheck | None
    can_rewrite: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """A step with what its profile picked, and why it was taken."""

    step: Step
    result: ProfileResult
    cause: Cause = "cost"


class NextProfileError(Exception):
    """The tree cannot go on without the result of this profile."""

    def __init__(self, profile: str) -> None:
        self.profile = profile
        super().__init__(profile)


@dataclass(slots=True)
class Walk:
    """One walk through the tree with the results that there are so far.

    A walk has no effect but its reasons, so it is done anew when there are more results.
    """

    tree: Tree
    situation: Situation
    results: Mapping[str, ProfileOutcome]
    reasons: list[str] = field(default_factory=list)

    def choose(self) -> Choice:
        """What the request gets.

        Raises:
            NextProfileError: another profile has to run first.
            NoEndpointsError: no step has an endpoint.
        """
        start = self._tried(self.tree.start)
        if start is None:
            choice = self._first_with_an_endpoint()
        else:
            verdict, told = self._judged(start)
            self.reasons.append(f"{_named(start)}: SLO {verdict}{told}")
            choice = self._improved(start, verdict)
        return self._within_budget(choice)

    def _improved(self, start: Choice, verdict: Verdict) -> Choice:
        if verdict == "met":
            return self._cheaper(start)
        return self._faster(start) if verdict == "at risk" else start

    def _cheaper(self, start: Choice) -> Choice:
        for step in self.tree.cheaper:
            choice = self._tried(step, "cost")
            if choice is None or self._is_refused(choice):
                continue
            verdict, told = self._judged(choice)
            if verdict != "met":
                self.reasons.append(f"{_named(choice)}: not taken, SLO {verdict}{told}")
            elif not self._costs_less(choice, start):
                self.reasons.append(f"{_named(choice)}: not taken, not cheaper{self._compared(choice, start)}")
            else:
                self.reasons.append(
                    f"{_named(choice)}: taken, SLO met{told} and cheaper{self._compared(choice, start)}"
                )
                return choice
        return self._kept(start, self.tree.cheaper)

    def _faster(self, start: Choice) -> Choice:
        best, best_probability = start, self._probability(start) or 0.0
        for step in self.tree.faster:
            choice = self._tried(step, "slo")
            if choice is None or self._is_refused(choice):
                continue
            verdict, told = self._judged(choice)
            self.reasons.append(f"{_named(choice)}: SLO {verdict}{told}")
            if verdict == "met":
                return choice
            probability = self._probability(choice)
            if probability is not None and probability > best_probability:
                best, best_probability = choice, probability
        return self._kept(best, self.tree.faster)

    def _first_with_an_endpoint(self) -> Choice:
        for step in self.tree.faster:
            choice = self._tried(step, "slo")
            if choice is not None:
                self.reasons.append(f"{_named(choice)}: taken, the first with an endpoint")
                return choice
        raise _outcome_of(self.results, self.tree.start)

    def _within_budget(self, choice: Choice) -> Choice:
        exceeded = self._exceeded(choice)
        if not exceeded:
            return choice
        self.reasons.append(f"{_named(choice)}: over budget ({exceeded})")
        for step in self.tree.over_budget:
            other = self._tried(step, "budget")
            if other is not None and not self._is_refused(other):
                self.reasons.append(f"{_named(other)}: taken, within budget")
                return other
        return self._kept(choice, self.tree.over_budget)

    def _tried(self, step: Step, cause: Cause = "cost") -> Choice | None:
        """What the step's profile picked; None, with the reason, if the step is not for this request."""
        request = self.situation.request
        if step.from_models and request.target_model not in step.from_models:
            self.reasons.append(f"{step.profile}: passed over, not for this model")
            return None
        if step.target_model(request) and not self.situation.can_rewrite:
            self.reasons.append(f"{step.profile}: passed over, the body cannot be rewritten")
            return None
        outcome = self.results.get(step.profile)
        if outcome is None:
            raise NextProfileError(step.profile)
        if isinstance(outcome, NoEndpointsError):
            self.reasons.append(f"{step.profile}: no endpoint left")
            return None
        return Choice(step, outcome, cause)

    def _kept(self, choice: Choice, steps: Sequence[Step]) -> Choice:
        if steps:
            self.reasons.append(f"{_named(choice)}: kept")
        return choice

    def _is_refused(self, choice: Choice) -> bool:
        exceeded = self._exceeded(choice)
        if exceeded:
            self.reasons.append(f"{_named(choice)}: not taken, over budget ({exceeded})")
        return bool(exceeded)

    def _exceeded(self, choice: Choice) -> str:
        check = self.situation.budget
        return "" if check is None else check.exceeded_by(choice.result.picked[0].name, self.situation.state.now)

    def _judged(self, choice: Choice) -> tuple[Verdict, str]:
        if self.situation.targets == NO_TARGETS:
            return "met", " (no target)"
        probability = self._probability(choice)
        if probability is None:
            return "not known", " (no prediction)"
        verdict: Verdict = "met" if probability >= self.tree.least_probability else "at risk"
        return verdict, f" (probability {probability:.2f})"

    def _probability(self, choice: Choice) -> float | None:
        prediction = self.situation.predictions.get(choice.result.picked[0].name)
        return None if prediction is None else probability_to_meet(prediction, self.situation.targets)

    def _costs_less(self, choice: Choice, start: Choice) -> bool:
        """Whether it does; where a cost is not known, the order of the configuration is believed."""
        cost, before = self._cost(choice), self._cost(start)
        return cost is None or before is None or cost < before

    def _compared(self, choice: Choice, start: Choice) -> str:
        cost, before = self._cost(choice), self._cost(start)
        if cost is None or before is None:
            return " (costs not known)"
        return f" ({cost:.6g} for {before:.6g})"

    def _cost(self, choice: Choice) -> float | None:
        return self.situation.costs.get(choice.result.picked[0].name)


def _named(choice: Choice) -> str:
    model = f" with {choice.step.model}" if choice.step.model else ""
    return f"{choice.step.profile}{model} at {choice.result.picked[0].name}"


def _outcome_of(results: Mapping[str, ProfileOutcome], step: Step) -> NoEndpointsError:
    outcome = results[step.profile]
    return outcome if isinstance(outcome, NoEndpointsError) else NoEndpointsError(step.profile, "")
