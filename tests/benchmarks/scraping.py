"""CPU of scraping idle endpoints."""

import asyncio
import contextlib
import time

from .children import Child, endpoint_picker, upstream
from .figures import Figure, Plan, value_of

ENDPOINTS = 100
BUDGET_CORES = 0.2
SETTLE_SECONDS = 3.0
WINDOWS = 4
WITHOUT_SOURCES = """\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: queue-scorer
- type: kv-cache-utilization-scorer
- type: prefix-cache-scorer
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: queue-scorer
    weight: 2
  - pluginRef: kv-cache-utilization-scorer
    weight: 2
  - pluginRef: prefix-cache-scorer
    weight: 3
dataLayer:
  injectDefaults: false
"""


async def idle_scraping(plan: Plan) -> list[Figure]:
    """Two pickers side by side over the same 100 endpoints: one scrapes at the default interval, one does not."""
    async with contextlib.AsyncExitStack() as stack:
        addresses = await stack.enter_async_context(upstream(ENDPOINTS))
        endpoints = [part for address in addresses for part in ("--endpoint", f"http://{address}")]
        scraping = await stack.enter_async_context(endpoint_picker(*endpoints))
        quiet = await stack.enter_async_context(endpoint_picker("--config-text", WITHOUT_SOURCES, *endpoints))
        await asyncio.sleep(SETTLE_SECONDS)
        cores: dict[Child, list[float]] = {scraping: [], quiet: []}
        for _ in range(WINDOWS):
            await _window(cores, plan.pick(3, 1))
            plan.advance(1 / WINDOWS)
    measured, baseline = value_of(cores[scraping]), value_of(cores[quiet])
    what = "100 idle endpoints at the default interval"
    return [Figure("scraping", what, "cores", measured, baseline, "no sources", BUDGET_CORES)]


async def _window(cores: dict[Child, list[float]], seconds: float) -> None:
    began, started = {child: child.cpu_seconds() for child in cores}, time.perf_counter()
    await asyncio.sleep(seconds)
    elapsed = time.perf_counter() - started
    for child, used in cores.items():
        used.append((child.cpu_seconds() - began[child]) / elapsed)
