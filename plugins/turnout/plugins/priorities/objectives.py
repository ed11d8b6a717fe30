"""Gives requests the priority of the objective that they name."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from turnout.framework import Classification, CycleState, InferenceRequest
from turnout.plugins.priorities.targets import check_priority, target_of

_NOTHING = Classification()


@dataclass(frozen=True, slots=True)
class Objective:
    """What the requests of one objective are. Empty texts and absent targets leave the request's own values.

    Raises:
        ValueError: the name is empty, the priority has more than 32 bits, or a target is not positive.
    """

    name: str
    priority: int
    level: str = ""
    ttft_target: timedelta | None = None
    tpot_target: timedelta | None = None
    fairness_id: str = ""

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError(f"name must not be empty, got {self.name!r}")
        check_priority("priority", self.priority)
        target_of("ttft_target", self.ttft_target)
        target_of("tpot_target", self.tpot_target)

    def classification(self) -> Classification:
        """The same as a classifier says it."""
        return Classification(
            self.priority,
            self.level or None,
            self.fairness_id or None,
            target_of("ttft_target", self.ttft_target),
            target_of("tpot_target", self.tpot_target),
        )


class ObjectiveClassifier:
    """Gives a request what its objective says: priority, level, targets, flow.

    A request that names no objective, or an unknown one, gets what the objective named ``default`` says; without a
    default it stays as it is. Targets of an objective take the place of those that the client stated. Anybody may
    name any objective: what a client may not choose belongs to ``priority-level-classifier``.

    Raises:
        ValueError: two objectives have one name, or ``default`` names none of them.
    """

    def __init__(self, objectives: Sequence[Objective], default: str = "") -> None:
        names = [objective.name for objective in objectives]
        repeated = [name for position, name in enumerate(names) if name in names[:position]]
        if repeated:
            raise ValueError(f"objectives must have names of their own, got {repeated[0]!r} twice")
        if default and default not in names:
            raise ValueError(f"default must be one of {', '.join(names) or 'no objectives'}, got {default!r}")
        self._objectives = {objective.name: objective.classification() for objective in objectives}
        self._default = self._objectives.get(default, _NOTHING)

    def classify(self, request: InferenceRequest, state: CycleState) -> Classification:
        return self._objectives.get(request.objective, self._default)
