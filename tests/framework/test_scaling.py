from collections.abc import Sequence

from turnout.framework import Endpoint, ScalingAdvice, ScalingAdvisor


def test_a_plugin_with_the_method_advises() -> None:
    class Advisor:
        def scaling_advice(self, endpoints: Sequence[Endpoint], now: float) -> Sequence[ScalingAdvice]:
            return [ScalingAdvice("", "hand", 3, len(endpoints), None, 1, 5, "said")]

    assert isinstance(Advisor(), ScalingAdvisor)
    assert not isinstance(object(), ScalingAdvisor)
    assert dict(Advisor().scaling_advice((), 0.0)[0].figures) == {}
