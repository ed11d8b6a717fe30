from math import inf

from turnout.epp.demo.prompts import cached_prompts
from turnout.epp.demo.workload import Conversation, Turn, WorkloadOptions, generate
from turnout.epp.simulator.engine import Engine, EngineConfig
from turnout.epp.simulator.replay.cache_only import CachedPrompt, PrefixCache
from turnout.epp.simulator.sequence import GenerationRequest
from turnout.epp.simulator.tokens import chat_tokens, detokenize, generate_words

# 17 tokens: the role takes four, the text twelve, the end one.
SYSTEM = "s" * 48
# 14 tokens, and five more for the head of the answer.
QUESTION = "q" * 40


def chat(*answers: int, start: float = 0.0, pause: float = 1.0, system: str = SYSTEM) -> Conversation:
    return Conversation(start, system, tuple(Turn(QUESTION, answer, pause) for answer in answers))


def found(prompts: list[CachedPrompt], capacity: float = inf) -> list[int]:
    cache = PrefixCache(capacity)
    return [cache.serve(prompt) for prompt in prompts]


def test_prompts_are_as_long_as_the_servers_count_them() -> None:
    prompts = cached_prompts([chat(13, 4)], block_size=16)
    assert [prompt.prompt_tokens for prompt in prompts] == [36, 36 + 13 + 1 + 14 + 5]
    assert [prompt.most_cached for prompt in prompts] == [32, 64]
    assert [prompt.weights for prompt in prompts] == [(32,), (32, 16, 16)]


def test_an_answer_that_comes_back_is_found_but_for_its_last_token() -> None:
    # 36 tokens of prompt and 12 of answer would be three blocks.
    assert found(cached_prompts([chat(13, 4)], block_size=16)) == [0, 48]
    assert found(cached_prompts([chat(12, 4)], block_size=16)) == [0, 32]


def test_the_order_is_that_of_arrival_when_answers_take_their_assumed_time() -> None:
    # Asked at 1.0, answered after 0.1 s and 0.01 s for each of 20 tokens, asked again at 1.3 + 1.0.
    first = chat(20, 20)
    before, after = chat(4, start=1.29, system="b" * 480), chat(4, start=1.31, system="a" * 960)
    lengths = [prompt.prompt_tokens for prompt in cached_prompts([first, before, after], block_size=16)]
    assert lengths == [36, 36 + 108, 36 + 20 + 1 + 14 + 5, 36 + 228]


def test_conversations_share_no_more_than_their_system_prompt() -> None:
    long = "s" * 4000
    one, other = Turn("w" * 400, 8, 0.0), Turn("z" * 400, 8, 0.0)
    first, second = cached_prompts([Conversation(0.0, long, (one,)), Conversation(1.0, long, (other,))], block_size=16)
    # 1,005 tokens and the three of the next role fill 63 blocks, in nodes of 32 blocks at most.
    assert first.weights == second.weights == (512, 496, 96)
    assert first.nodes[:2] == second.nodes[:2]
    assert first.nodes[2] != second.nodes[2]
    assert found([first, second]) == [0, 1008]


def test_requests_find_what_the_engine_of_a_server_finds() -> None:
    options = WorkloadOptions(duration=6.0, conversations_per_second=2.0, system_prompts=3, system_prompt_size=3000)
    # Far apart, so that the order does not depend on how long an answer takes.
    conversations = [
        Conversation(1000.0 * place, each.system_prompt, each.turns) for place, each in enumerate(generate(options))
    ]
    assert found(cached_prompts(conversations, block_size=16)) == _served(conversations)


def _served(conversations: list[Conversation]) -> list[int]:
    engine, now = Engine(EngineConfig()), 0.0
    cached: list[int] = []
    for conversation in conversations:
        messages = [("system", conversation.system_prompt)]
        for turn in conversation.turns:
            messages.append(("user", turn.question))
            output = generate_words(1_000_000 + len(cached), turn.answer_tokens)
            engine.submit(GenerationRequest(str(len(cached)), chat_tokens(messages), output), now)
            while (duration := engine.start_step(now)) is not None:
                now += duration
                cached.extend(done.cached_tokens for done in engine.finish_step(now).finished)
            messages.append(("assistant", detokenize(output)))
    return cached
