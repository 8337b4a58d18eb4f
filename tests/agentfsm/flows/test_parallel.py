"""Pure calls of one turn run at once where the stage says so; what has an effect never does."""

import asyncio

import pytest

from agentfsm import Effect, Limits


def turn_of(lab, kit, *calls, parallel=True, effect=Effect.IDEMPOTENT):
    for name in {tool for tool, _ in calls}:
        lab.tool(name, effect if name.startswith("write") else Effect.PURE)
    lab.model = kit.Model(kit.calling(*calls), kit.says("Done."))
    names = {tool for tool, _ in calls}
    lab.flow(kit.asks("ALL", *names, parallel=parallel, done=lambda b: sum(b.get(n, 0) for n in names) >= len(calls)))


def most_at_once(lab):
    """Count, while the tools run, how many of them do so at the same time."""
    seen = {"now": 0, "most": 0, "order": []}

    async def count(n):
        seen["now"] += 1
        seen["most"] = max(seen["most"], seen["now"])
        for _ in range(10):
            await asyncio.sleep(0)
        seen["now"] -= 1
        seen["order"].append(n)

    for tool in lab.tools.values():
        tool.script = [count] * 9
    return seen


def test_pure_calls_of_one_turn_meet(lab, kit):
    turn_of(lab, kit, ("read", 1), ("look", 2), ("read", 3))
    meeting = asyncio.Barrier(3)

    async def meet(_n):
        await asyncio.wait_for(meeting.wait(), 5)

    for tool in lab.tools.values():
        tool.script = [meet] * 2
    assert lab.run().outcome == "success"


def test_without_the_word_of_the_stage_they_run_one_after_the_other(lab, kit):
    turn_of(lab, kit, ("read", 1), ("look", 2), parallel=False)
    seen = most_at_once(lab)
    assert lab.run().outcome == "success"
    assert (seen["most"], seen["order"]) == (1, [1, 2])


@pytest.mark.parametrize("effect", [Effect.IDEMPOTENT, Effect.QUERYABLE, Effect.UNSAFE])
def test_what_has_an_effect_runs_alone_and_in_its_place(lab, kit, effect):
    turn_of(lab, kit, ("read", 1), ("write", 2), ("read", 3), ("look", 4), ("write", 5), effect=effect)
    order = []

    def named(name):
        async def note(n):
            order.append(f"begin {name} {n}")
            for _ in range(5):
                await asyncio.sleep(0)
            order.append(f"end {name} {n}")

        return note

    for name, tool in lab.tools.items():
        tool.script = [named(name)] * 9
    assert lab.run().outcome == "success"
    assert order == [
        "begin read 1",
        "end read 1",
        "begin write 2",
        "end write 2",
        "begin read 3",
        "begin look 4",
        "end read 3",
        "end look 4",
        "begin write 5",
        "end write 5",
    ]


def test_results_stand_in_the_order_of_the_turn_whoever_was_first(lab, kit):
    turn_of(lab, kit, ("read", 1), ("look", 2))
    second_done = asyncio.Event()

    async def last(_n):
        await second_done.wait()

    async def first(_n):
        second_done.set()

    lab.tools["read"].script, lab.tools["look"].script = [last], [first]
    assert lab.run().outcome == "success"
    asked, answers = lab.model.requests[1].messages[2], lab.model.requests[1].messages[3:]
    assert [m.call_id for m in answers] == [call.id for call in asked.calls]
    assert [m.text for m in answers] == ['{"value":1}', '{"value":2}']


@pytest.mark.parametrize(("parallel", "most"), [(1, 1), (2, 2), (3, 3), (8, 4)])
def test_the_limit_bounds_how_many_run_at_once(lab, kit, parallel, most):
    turn_of(lab, kit, ("read", 1), ("read", 2), ("read", 3), ("read", 4))
    lab.limits = Limits(parallel=parallel)
    seen = most_at_once(lab)
    assert lab.run().outcome == "success"
    assert seen["most"] == most


def test_the_same_call_twice_in_a_turn_is_not_made_at_once(lab, kit):
    turn_of(lab, kit, ("read", 1), ("read", 1))
    seen = most_at_once(lab)
    assert lab.run().outcome == "success"
    assert seen["most"] == 1


def test_a_call_that_is_refused_among_others_gets_its_reason_in_its_place(lab, kit):
    lab.tool("read")
    lab.model = kit.Model(
        kit.calling(("read", 1), ("read", '{"m": 2}'), ("reed", 3), ("read", 4)), kit.says("Done."), kit.says("Done.")
    )
    lab.flow(kit.asks("ALL", "read", parallel=True, done=lambda b: b.get("read", 0) >= 2))
    assert lab.run().outcome == "success"
    told = lab.model.told()
    assert (told[0], told[3]) == ('{"value":1}', '{"value":4}')
    assert "invalid_arguments" in told[1]
    assert "unknown_tool" in told[2]


def test_of_a_parallel_group_one_that_fails_for_good_ends_the_task_after_the_others_were_heard(lab, kit):
    turn_of(lab, kit, ("read", 1), ("look", 2))
    lab.tools["read"].script = [{"status": "permanent_error", "error_code": "gone"}]
    result = lab.run()
    assert (result.outcome, result.cause) == ("failed", "gone")
    assert [entry["tool"] for entry in result.done] == ["look"]


def test_of_a_parallel_group_one_with_invalid_input_is_corrected_by_the_model(lab, kit):
    turn_of(lab, kit, ("read", 1), ("look", 2))
    lab.model.turns[1:] = [kit.calling(("read", 5), ids=("again",)), kit.says("Done.")]
    lab.tools["read"].script = [{"status": "invalid_input", "reason": "there is no 1"}]
    assert lab.run().outcome == "success"
    assert list(lab.model.told())[:2] == [
        '{"error":"invalid_input","reason":"there is no 1"}',
        '{"value":2}',
    ]


def test_dying_at_any_commit_of_a_parallel_group_gives_the_same_conversation(deaths, kit):
    told = set()
    for lab, result in deaths(
        lambda lab: turn_of(lab, kit, ("read", 1), ("look", 2), ("read", 3)), lambda lab: lab.run()
    ):
        assert (result.outcome, result.answer) == ("success", "Done.")
        told.add(tuple((m.role, m.text, m.call_id) for m in lab.model.requests[-1].messages))
    assert len(told) == 1
