"""The page about how many replicas there should be."""

from collections.abc import Callable, Mapping, Sequence

from aiohttp import web

from turnout.epp.admin.answers import finite, json_answer
from turnout.framework import ScalingAdvice

AdviceByPlugin = Mapping[str, Sequence[ScalingAdvice]]


def add_autoscaling_pages(app: web.Application, latest: Callable[[], AdviceByPlugin]) -> None:
    """Adds ``GET /autoscaling``; ``latest`` gives what each plugin advised last, by its name."""

    async def autoscaling(_: web.Request) -> web.Response:
        return json_answer({"advice": [_shown(name, one) for name, own in latest().items() for one in own]})

    app.add_routes([web.get("/autoscaling", autoscaling)])


def _shown(plugin: str, advice: ScalingAdvice) -> dict[str, object]:
    return {
        "plugin": plugin,
        "group": advice.group,
        "basis": advice.basis,
        "desired": advice.desired,
        "current": advice.current,
        "needed": None if advice.needed is None else finite(advice.needed),
        "min": advice.minimum,
        "max": advice.maximum,
        "reason": advice.reason,
        "figures": {name: finite(value) for name, value in advice.figures.items()},
    }
