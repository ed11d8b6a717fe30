from turnout.epp.demo.client import drive
from turnout.epp.demo.workload import WorkloadOptions, generate
from turnout.epp.simulator.options import SimServerOptions
from turnout.epp.simulator.server import start_sim_server

CONVERSATIONS = generate(
    WorkloadOptions(seed=1, duration=0.5, conversations_per_second=8.0, system_prompt_size=400, pause=(0.0, 0.05))
)


async def test_every_turn_is_asked_and_measured() -> None:
    server = await start_sim_server(SimServerOptions(model="m", port=0, time_scale=0.01))
    answers: list[None] = []
    try:
        seen = await drive(f"{server.url}/v1", "m", CONVERSATIONS, lambda: answers.append(None))
    finally:
        await server.close()
    turns = [turn for conversation in CONVERSATIONS for turn in conversation.turns]
    assert seen.requests == len(turns) == len(seen.ttfts) == len(answers)
    assert seen.output_tokens == sum(turn.answer_tokens for turn in turns)
    assert not seen.errors
    assert seen.seconds > 0


async def test_an_error_ends_its_conversation_and_is_counted_by_kind() -> None:
    server = await start_sim_server(SimServerOptions(model="m", port=0))
    try:
        seen = await drive(f"{server.url}/v1", "another-model", CONVERSATIONS, lambda: None)
    finally:
        await server.close()
    assert seen.errors == {"HTTP 404": len(CONVERSATIONS)}
    assert seen.requests == len(CONVERSATIONS)
    assert seen.ttfts == []
