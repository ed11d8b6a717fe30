from turnout.epp.demo.workload import WorkloadOptions, generate

OPTIONS = WorkloadOptions(seed=7, duration=60.0)


def test_a_seed_decides_everything() -> None:
    assert generate(OPTIONS) == generate(OPTIONS)
    assert generate(OPTIONS) != generate(WorkloadOptions(seed=8, duration=60.0))


def test_conversations_share_the_system_prompts_and_stay_within_the_bounds() -> None:
    conversations = generate(OPTIONS)
    starts = [conversation.start for conversation in conversations]
    assert starts == sorted(starts)
    assert 0.0 < starts[0] < starts[-1] < 60.0
    # The mean of a Poisson process over 60 s; six standard deviations either way.
    expected = 60.0 * OPTIONS.conversations_per_second
    assert abs(len(starts) - expected) < 6 * expected**0.5
    assert len({conversation.system_prompt for conversation in conversations}) <= OPTIONS.system_prompts
    for conversation in conversations:
        assert OPTIONS.turns[0] <= len(conversation.turns) <= OPTIONS.turns[1]
        for turn in conversation.turns:
            assert OPTIONS.question_size[0] <= len(turn.question) <= OPTIONS.question_size[1] + 10
            assert OPTIONS.answer_tokens[0] <= turn.answer_tokens <= OPTIONS.answer_tokens[1]
