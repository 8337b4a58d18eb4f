"""Stages that call by themselves: what is known beforehand needs no model."""

import asyncio
from dataclasses import replace

import pytest

from agentfsm import AgentError, Effect, Limits, Stage
from agentfsm.stages import Never

UNSAFE, IDEMPOTENT = Effect.UNSAFE, Effect.IDEMPOTENT


def alone(lab, kit, *stages, **options):
    """A workflow that asks nobody."""
    return lab.flow(*stages, **{"answers": lambda business: f"all done: {sorted(business)}", **options}) and lab


def group(lab, kit, *names, effect=IDEMPOTENT, **options):
    for name in names:
        lab.tool(name, effect)
    lab.options["model"] = ()
    return alone(lab, kit, kit.own("ALL", *[(name, i + 1) for i, name in enumerate(names)]), **options)


def test_a_workflow_without_a_model_does_its_stages_and_answers_by_itself(lab, kit):
    lab.tool("read")
    pay = lab.tool("pay", UNSAFE)
    lab.options["model"] = ()
    alone(lab, kit, kit.own("READ", ("read", 1)), kit.own("PAY", ("pay", 2)))
    result = lab.run()
    assert (result.outcome, result.answer) == ("success", "all done: ['pay', 'pay.sum', 'read', 'read.sum']")
    assert [entry["tool"] for entry in result.done] == ["read", "pay"]
    assert pay.effects == ["r1:2"]
    assert lab.run() == result
    assert [change.label for change in lab.store.commits] == [
        "start, intent step 1 read",
        "finish step 1, intent step 2 pay",
        "finish step 2, DONE success",
    ]


def test_a_workflow_without_a_model_that_could_not_answer_is_refused(lab, kit):
    lab.tool("read")
    lab.flow(kit.own("READ", ("read", 1)))
    with pytest.raises(AgentError, match="no model and no `answers`"):
        lab.runtime(model=())


def test_a_stage_that_would_need_a_model_fails_where_there_is_none(lab, kit):
    lab.tool("read")
    lab.options["model"] = ()
    alone(lab, kit, Stage("THINK", frozenset({"read"}), lambda b: False, calls=lambda b: []))
    result = lab.run()
    assert (result.outcome, result.cause) == ("failed", "no_model")


def test_the_calls_of_a_stage_run_at_once_and_each_answer_is_folded(lab, kit):
    group(lab, kit, "a", "b", "c")
    meeting = asyncio.Barrier(3)

    async def meet(_n):
        await asyncio.wait_for(meeting.wait(), 5)

    for tool in lab.tools.values():
        tool.script = [meet]
    assert lab.run().outcome == "success"
    assert lab.task().business_state == {"a": 1, "a.sum": 1, "b": 1, "b.sum": 2, "c": 1, "c.sum": 3}
    assert lab.steps() == [(n, 1, name, "success", None) for n, name in enumerate("abc", 1)]
    assert next(change.label for change in lab.store.commits).count("intent") == 3


def test_no_more_calls_run_at_once_than_the_limit_says(lab, kit):
    group(lab, kit, "a", "b", "c")
    lab.limits = Limits(parallel=2)
    out = []

    async def count(_n):
        out.append(1)
        await asyncio.sleep(0)
        assert sum(out) <= 2
        out.append(-1)

    for tool in lab.tools.values():
        tool.script = [count]
    assert lab.run().outcome == "success"
    assert [change.label.count("intent") for change in lab.store.commits if "intent" in change.label] == [2, 1]


def test_a_member_that_fails_for_a_moment_is_tried_again_while_the_others_stay_done(lab, kit):
    group(lab, kit, "a", "b", effect=UNSAFE)
    lab.tools["b"].script = [{"status": "temporary_error"}]
    assert lab.run().outcome == "success"
    assert (lab.tools["a"].effects, lab.tools["b"].effects) == (["r1:1"], ["r1:2"])
    assert len(lab.clock.pauses) == 1
    assert lab.steps() == [
        (1, 1, "a", "success", None),
        (2, 1, "b", "failed", "temporary_error"),
        (2, 2, "b", "success", None),
    ]


@pytest.mark.parametrize("first", ["a", "b"])
@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        ({"status": "permanent_error", "error_code": "gone"}, "gone"),
        ({"status": "invalid_input"}, "invalid_input"),
        ({"status": "invalid_input", "error_code": "no_such_n"}, "no_such_n"),
    ],
)
def test_a_member_that_fails_for_good_ends_the_task_once_the_others_were_heard(lab, kit, first, answer, cause):
    group(lab, kit, "a", "b", effect=UNSAFE)
    ended = asyncio.Event()

    async def late(_n):
        await ended.wait()

    async def at_once(_n):
        asyncio.get_running_loop().call_soon(asyncio.get_running_loop().call_later, 0.01, ended.set)
        return answer

    second = {"a": "b", "b": "a"}[first]
    lab.tools[first].script, lab.tools[second].script = [at_once], [late]
    result = lab.run()
    assert (result.outcome, result.cause, result.state) == ("failed", cause, "FAILED")
    assert [entry["tool"] for entry in result.done] == [second]
    assert [entry["tool"] for entry in result.not_done if "tool" in entry] == [first]
    assert len(lab.tools[first].calls) == 1
    assert lab.gapless()


def test_a_member_in_doubt_is_handed_to_a_person_once_the_others_were_heard(lab, kit):
    group(lab, kit, "a", "b", effect=UNSAFE)
    lab.tools["a"].script = [TimeoutError()]
    result = lab.run()
    assert (result.outcome, result.cause, result.state) == ("unknown", "timeout", "WAITING_EXTERNAL")
    assert [entry["key"] for entry in result.unknown] == ["r1:1"]
    assert [entry["key"] for entry in result.done] == ["r1:2"]


def test_two_members_in_doubt_are_asked_about_one_after_the_other(lab, kit):
    group(lab, kit, "a", "b", "c", effect=UNSAFE)
    lab.tools["a"].script, lab.tools["b"].script = [TimeoutError()], [ConnectionResetError()]
    assert [entry["key"] for entry in lab.run().unknown] == ["r1:1", "r1:2"]
    happened = {"id": "r1:1", "by": "ann", "output": {"value": 1}}
    result = lab.deliver("operator", "effect.confirmed", happened)
    assert (result.outcome, result.cause, [e["key"] for e in result.unknown]) == ("unknown", "connection", ["r1:2"])
    result = lab.deliver("operator", "effect.confirmed", {**happened, "id": "r1:2"}, "e2")
    assert (result.outcome, result.unknown) == ("success", [])
    assert sorted(entry["key"] for entry in result.done) == ["r1:1", "r1:2", "r1:3"]
    assert [len(tool.calls) for tool in lab.tools.values()] == [1, 1, 1]


def test_a_refused_input_is_the_fault_of_the_workflow_and_nobody_is_asked_to_correct_it(lab, kit):
    read = lab.tool("read")
    alone(lab, kit, kit.own("READ", ("read", 1)))
    read.script = [{"status": "invalid_input"}]
    result = lab.run()
    assert (result.outcome, result.cause, len(read.calls)) == ("failed", "invalid_input", 1)


def test_arguments_that_do_not_fit_the_contract_end_the_task_before_anything_is_sent(lab, kit):
    read = lab.tool("read")
    alone(lab, kit, Stage("READ", frozenset({"read"}), kit.has("read"), calls=lambda b: [("read", {"n": "one"})]))
    result = lab.run()
    assert (result.outcome, result.cause, read.calls) == ("failed", "invalid_arguments", [])


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"never": (Never("no ones", lambda _tool, arguments, _b: arguments["n"] == 1),)}, "never"),
        ({"guards": {"read": lambda _business, _arguments: "not today"}}, "guard"),
    ],
)
def test_what_is_forbidden_to_the_model_is_forbidden_to_the_orchestrator(lab, kit, options, cause):
    read = lab.tool("read")
    alone(lab, kit, kit.own("READ", ("read", 1)), **options)
    result = lab.run()
    assert (result.outcome, result.cause, read.calls) == ("failed", cause, [])


def test_a_budget_that_ends_in_the_middle_of_a_group_lets_those_that_fit_be_heard(lab, kit):
    group(lab, kit, "a", "b", "c")
    lab.limits = Limits(tool_calls=2)
    result = lab.run()
    assert (result.outcome, result.cause, result.state) == ("limit", "limit_tool_calls", "FAILED")
    assert [entry["tool"] for entry in result.done] == ["a", "b"]
    assert lab.tools["c"].calls == []


def test_a_budget_that_ends_with_a_retry_in_a_group_ends_in_limit(lab, kit):
    group(lab, kit, "a", "b")
    lab.limits = Limits(tool_calls=2)
    lab.tools["a"].script = [{"status": "temporary_error"}]
    result = lab.run()
    assert (result.outcome, result.cause) == ("limit", "limit_tool_calls")
    assert [entry["tool"] for entry in result.done] == ["b"]


def test_the_same_call_twice_in_one_group_counts_twice(lab, kit):
    read = lab.tool("read")
    twice = [("read", {"n": 1})] * 2
    alone(lab, kit, Stage("READ", frozenset({"read"}), lambda b: b.get("read", 0) >= 4, calls=lambda b: twice))
    result = lab.run()
    assert (result.outcome, result.cause, len(read.calls)) == ("limit", "limit_same_call", 2)


def test_calls_that_change_nothing_end_as_no_progress(lab, kit):
    read = lab.tool("read")
    counted = Stage("READ", frozenset({"read"}), lambda b: False, calls=lambda b: [("read", {"n": len(read.calls)})])
    alone(lab, kit, counted, fold=lambda business, *_rest: business)
    lab.limits = Limits(no_progress=4)
    result = lab.run()
    assert (result.outcome, result.cause, len(read.calls)) == ("limit", "limit_no_progress", 5)


def test_progress_resets_the_count_of_calls_in_vain(lab, kit):
    read = lab.tool("read")
    counted = Stage(
        "READ", frozenset({"read"}), lambda b: b.get("n", 0) >= 12, calls=lambda b: [("read", {"n": len(read.calls)})]
    )
    alone(lab, kit, counted, fold=lambda b, _t, args, _o: {"n": args["n"] // 3 * 3})
    lab.limits = Limits(no_progress=2)
    assert lab.run().outcome == "success"


def test_a_branch_is_taken_where_the_business_says_so(lab, kit):
    for name in ("read", "low", "high"):
        lab.tool(name)
    low = kit.own("LOW", ("low", 1), applies_when=lambda b: b["read.sum"] < 10)
    high = kit.own("HIGH", ("high", 1), applies_when=lambda b: b["read.sum"] >= 10)
    end = Stage("END", frozenset(), lambda b: False)
    done = lambda b: bool(b.get("low") or b.get("high"))  # noqa: E731
    alone(lab, kit, kit.own("READ", ("read", 50)), low, high, end, done_when=done)
    assert lab.run().outcome == "success"
    assert (len(lab.tools["low"].calls), len(lab.tools["high"].calls)) == (0, 1)


@pytest.mark.parametrize(("visits", "outcome"), [(3, "success"), (2, "limit")])
def test_a_loop_is_bounded_by_the_visits_of_its_stage(lab, kit, visits, outcome):
    lab.tool("draft")
    lab.tool("review")
    writing = Stage(
        "WRITE",
        frozenset({"draft"}),
        lambda b: b.get("draft", 0) > b.get("review", 0),
        calls=lambda b: [("draft", {"n": b.get("draft", 0)})],
        applies_when=lambda b: b.get("review", 0) < 3,
        visits=visits,
    )
    reviewing = Stage(
        "REVIEW",
        frozenset({"review"}),
        lambda b: b.get("review", 0) >= 3,
        calls=lambda b: [("review", {"n": b.get("review", 0)})],
    )
    alone(lab, kit, writing, reviewing, done_when=lambda b: b.get("review", 0) >= 3)
    result = lab.run()
    assert result.outcome == outcome
    assert len(lab.tools["draft"].calls) == min(visits, 3)
    if outcome == "limit":
        assert result.cause == "limit_visits"


def test_in_a_mixed_workflow_the_model_is_told_what_was_called_for_it(lab, kit):
    lab.tool("read")
    lab.tool("pay", IDEMPOTENT)
    lab.model = kit.Model(kit.calling(("pay", 5)), kit.says("Paid."))
    lab.flow(kit.own("READ", ("read", 7)), kit.asks("PAY", "pay"))
    result = lab.run()
    assert (result.outcome, result.answer) == ("success", "Paid.")
    assert lab.model.requests[0].messages[2].text == 'read was called with {"n":7}. Result: {"value":7}'
    assert lab.steps()[:2] == [(1, 1, "read", "success", None), (2, 1, "model", "success", None)]


def test_the_model_may_come_first_and_own_calls_after_it(lab, kit):
    lab.tool("choose")
    lab.tool("pay", IDEMPOTENT)
    lab.model = kit.Model(kit.calling(("choose", 3)), kit.says("Chosen and paid."))
    lab.flow(kit.asks("CHOOSE", "choose"), kit.own("PAY", ("pay", 3)), Stage("END", frozenset(), lambda b: True))
    assert lab.run().answer == "Chosen and paid."
    assert [m.role for m in lab.model.requests[-1].messages] == ["system", "user", "assistant", "tool", "user"]


def test_a_call_that_failed_is_told_of_once_with_its_last_answer(lab, kit):
    read = lab.tool("read")
    read.script = [{"status": "temporary_error"}]
    lab.model = kit.Model(kit.says("Read."))
    lab.flow(kit.own("READ", ("read", 7)))
    assert lab.run().outcome == "success"
    assert lab.model.told() == ['read was called with {"n":7}. Result: {"value":7}']


def cancelling(lab, *names):
    """Cancel the task as soon as these tools have begun; they have had their effect and never answer."""
    begun = asyncio.Barrier(len(names) + 1)

    async def main(runtime):
        job = asyncio.create_task(runtime.run(request_id="r1", text="go"))
        await begun.wait()
        for _ in range(5):
            await asyncio.sleep(0)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        assert [t for t in asyncio.all_tasks() if t is not asyncio.current_task()] == []

    async def wait_for_ever(_n):
        await begun.wait()
        await asyncio.Event().wait()

    for name in names:
        lab.tools[name].script = [wait_for_ever]
    lab.play(main)


def test_a_group_that_is_cancelled_keeps_what_came_back_and_doubts_what_was_out(lab, kit):
    group(lab, kit, "a", "b", "c")
    cancelling(lab, "b", "c")
    result = lab.run()
    assert (result.outcome, result.state) == ("cancelled", "FAILED")
    assert [entry["tool"] for entry in result.done] == ["a"]
    assert [entry["tool"] for entry in result.unknown] == ["b", "c"]


def test_an_answer_that_is_here_when_the_task_is_cancelled_is_not_thrown_away(lab, kit):
    """The effect has happened and its answer is known, though its commit has not begun."""
    pay = group(lab, kit, "pay", "b").tools["pay"]
    real = lab.store.commit

    async def main(runtime):
        job = asyncio.create_task(runtime.run(request_id="r1", text="go"))

        async def commit(change):
            if change.finished and not job.cancelled() and change.finished[0].tool == "pay" and not cancelled:
                cancelled.append(1)
                job.cancel()
                await asyncio.sleep(0)
            return await real(change)

        cancelled = []
        lab.store.commit = commit
        with pytest.raises(asyncio.CancelledError):
            await job

    async def stay(_n):
        await asyncio.Event().wait()

    lab.tools["b"].script = [stay]
    lab.play(main)
    result = lab.run()
    assert pay.effects == ["r1:1"]
    assert (result.outcome, [e["tool"] for e in result.done]) == ("cancelled", ["pay"])
    assert [e["tool"] for e in result.unknown] == ["b"]


def three(kit):
    def set_up(lab):
        group(lab, kit, "a", "b", "c")
        lab.tools["b"].script = [{"status": "temporary_error"}]

    return set_up


def test_dying_at_any_commit_of_a_group_leaves_one_effect_each(deaths, kit):
    for lab, result in deaths(three(kit), lambda lab: lab.run()):
        assert result.outcome == "success"
        assert [tool.effects for tool in lab.tools.values()] == [["r1:1"], ["r1:2"], ["r1:3"]]
        assert lab.task().business_state == {"a": 1, "a.sum": 1, "b": 1, "b.sum": 2, "c": 1, "c.sum": 3}


def test_dying_at_any_commit_of_an_unsafe_group_never_repeats_an_effect(deaths, kit):
    for lab, result in deaths(lambda lab: group(lab, kit, "a", "b", effect=UNSAFE), lambda lab: lab.run()):
        assert [len(tool.effects) for tool in lab.tools.values()] in ([1, 1], [0, 0], [0, 1], [1, 0])
        known = {entry["tool"] for entry in [*result.done, *result.unknown]}
        assert known == {"a", "b"}
        assert result.outcome in {"success", "unknown"}
        assert (result.outcome == "success") == (not result.unknown)


def test_dying_between_own_calls_and_the_model_changes_nothing(deaths, kit):
    def set_up(lab):
        lab.tool("read")
        lab.tool("pay", IDEMPOTENT)
        lab.model = kit.Model(kit.calling(("pay", 5)), kit.says("Paid."))
        lab.flow(
            kit.own(
                "READ",
                ("read", 7),
            ),
            kit.asks("PAY", "pay"),
        )

    for lab, result in deaths(set_up, lambda lab: lab.run()):
        assert (result.outcome, result.answer) == ("success", "Paid.")
        assert lab.tools["pay"].effects == ["r1:3"]


def test_the_committed_members_of_a_group_are_undone_when_another_fails(lab, kit):
    book = lab.tool("book", IDEMPOTENT)
    lab.tool("pay", IDEMPOTENT).script = [{"status": "permanent_error", "error_code": "declined"}]
    release = lab.tool("release", IDEMPOTENT, compensates="book")
    lab.options["model"] = ()
    alone(
        lab,
        kit,
        kit.own("ALL", ("book", 1), ("pay", 2)),
        compensations={"book": lambda arguments, _output: {"n": arguments["n"]}},
    )
    result = lab.run()
    assert (result.outcome, result.cause) == ("failed", "declined")
    assert (book.effects, release.effects) == (["r1:1"], ["r1:3"])
    assert result.done[0]["compensated_by"] == "r1:3"


def test_the_workflow_is_reached_through_its_label_after_a_change_of_its_calls(lab, kit):
    """Calls are asked for anew on resume: what was opened runs as it was opened."""
    group(lab, kit, "a", "b")
    lab.tools["a"].script = [{"status": "temporary_error"}]
    lab.options["patience_s"] = 0.0
    assert lab.run().cause == "running"
    lab.workflow = replace(lab.workflow, stages=(kit.own("ALL", ("a", 9), ("b", 9)),))
    lab.clock.now += 10
    lab.options.clear()
    lab.options["model"] = ()
    assert lab.run().outcome == "success"
    assert list(lab.tools["a"].calls) == [(1, "r1:1"), (1, "r1:1")]
