"""Reading request bodies."""

import json
from functools import partial

from turnout.epp.requests.openai import OpenAIParser

from .figures import Figure, Plan, in_turns
from .pools import CHAT, chat_body

KIB = 1024
BODIES = {"2 KB": 2 * KIB, "32 KB": 32 * KIB, "220 KB": 220 * KIB, "400 KB": 400 * KIB}


async def body_parsing(plan: Plan) -> list[Figure]:
    """Chat bodies by the OpenAI parser; it reads less than the baseline, so it should not cost more."""
    figures = []
    for name, size in BODIES.items():
        body = chat_body(size, 0)
        calls = {"parser": partial(OpenAIParser().parse, CHAT, body), "json": partial(json.loads, body)}
        samples = in_turns(calls, plan.pick(5, 3), plan.pick(300, 60))
        parser, baseline = samples["parser"].percentile(50), samples["json"].percentile(50)
        figures.append(Figure("parse", f"{name} chat, p50", "s", parser, baseline, "json.loads"))
        plan.advance(1 / len(BODIES))
    return figures
