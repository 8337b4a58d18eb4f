"""Roles, never-lists, deprecated tools, budgets of tools and money, and models that stand in for one another."""

import pytest

from agentfsm import AgentError, Effect, Limits, ModelError, Turn
from agentfsm.errors import DefinitionError
from agentfsm.prompts import Prompt
from agentfsm.stages import Never, Role
from agentfsm.turns import Usage

DOWN, NO = {"transient": True}, {"transient": False}


def roles(lab, kit):
    lab.tool("look")
    lab.tool("act", Effect.IDEMPOTENT)
    planner = Role(Prompt("planner", 1, "You plan."), frozenset({"look"}))
    doer = Role(Prompt("doer", 3, "You do."), frozenset({"act"}))
    lab.flow(
        kit.asks("PLAN", "look", role="planner"),
        kit.asks("DO", "act", role="doer"),
        roles={"planner": planner, "doer": doer},
    )
    return planner, doer


def test_each_stage_asks_its_own_role_with_its_own_prompt_and_tools(lab, kit):
    planner, doer = roles(lab, kit)
    lab.model = kit.Model(kit.calling(("look", 1)), kit.calling(("act", 1)), kit.says("Done."))
    assert lab.run().outcome == "success"
    assert [r.messages[0].text for r in lab.model.requests] == ["You plan.", "You do.", "You do."]
    assert [[t["name"] for t in r.tools] for r in lab.model.requests] == [["look"], ["act"], ["act"]]

    async def steps(runtime):
        return [s.prompt for s in await runtime.store.steps("r1") if s.kind == "model"]

    assert lab.play(steps) == [planner.prompt.label, doer.prompt.label, doer.prompt.label]


def test_a_role_that_proposes_a_tool_of_another_is_refused(lab, kit):
    roles(lab, kit)
    lab.model = kit.Model(kit.calling(("act", 1)), kit.calling(("look", 1)), kit.calling(("act", 2)), kit.says("Done."))
    assert lab.run().outcome == "success"
    assert "not_allowed" in lab.model.requests[1].messages[-1].text
    assert [n for n, _ in lab.tools["act"].calls] == [2]


def test_dying_where_one_role_hands_over_to_the_next_changes_nothing(deaths, kit):
    def set_up(lab):
        roles(lab, kit)
        lab.model = kit.Model(kit.calling(("look", 1)), kit.calling(("act", 1)), kit.says("Done."))

    for lab, result in deaths(set_up, lambda lab: lab.run()):
        assert (result.outcome, lab.tools["act"].effects) == ("success", ["r1:4"])


def test_a_stage_whose_role_lacks_its_tools_or_is_unknown_is_refused(lab, kit):
    lab.tool("look")
    none = Role(Prompt("p", 1, "x"))
    with pytest.raises(DefinitionError, match="look"):
        lab.flow(kit.asks("PLAN", "look", role="planner"), roles={"planner": none})
    with pytest.raises(DefinitionError, match=r"[Dd]id you mean 'planner'"):
        lab.flow(kit.asks("PLAN", role="plannr"), roles={"planner": none})


def test_what_is_never_done_is_refused_whoever_proposes_it_and_however_often(lab, kit):
    pay = lab.tool("pay", Effect.IDEMPOTENT)
    lab.model = kit.Model(*[kit.calling(("pay", 100), ids=(f"x{i}",)) for i in range(5)])
    lab.flow(kit.asks("PAY", "pay"), never=(Never("pay more than 99", lambda _t, a, _b: a["n"] > 99),))
    result = lab.run()
    assert (result.outcome, result.cause, pay.calls) == ("failed", "never", [])
    assert "pay more than 99" in lab.model.told()[0]


def test_a_deprecated_tool_still_works_and_raises_an_alarm(lab, kit):
    lab.tool("old", deprecated="new")
    lab.model = kit.Model(kit.calling(("old", 1)), kit.says("Done."))
    lab.flow(kit.asks("OLD", "old"))
    assert lab.run().outcome == "success"
    assert lab.notes("deprecated") == [{"step": 2, "tool": "old", "tool_version": 1, "use": "new"}]
    assert [row for row in lab.observed if row["kind"] == "deprecated"]


@pytest.mark.parametrize("most", [2, 3])
def test_a_tool_may_be_called_no_more_often_than_its_own_budget(lab, kit, most):
    lab.tool("read")
    lab.tool("look")
    turns = [kit.calling((tool, n), ids=(f"x{tool}{n}",)) for n in range(3) for tool in ("read", "look")]
    lab.model = kit.Model(*turns, kit.says("Done."))
    lab.flow(kit.asks("ALL", "read", "look", done=lambda b: b.get("read", 0) >= 3 and b.get("look", 0) >= 3))
    lab.limits = Limits(per_tool={"read": most})
    result = lab.run()
    assert len(lab.tools["read"].calls) == most
    assert (result.outcome, result.cause) == (("success", None) if most == 3 else ("limit", "limit_per_tool"))


def test_attempts_count_against_the_budget_of_a_tool(lab, kit):
    lab.tool("read").script = [{"status": "temporary_error"}] * 9
    lab.model = kit.Model(kit.calling(("read", 1)))
    lab.flow(kit.asks("READ", "read"))
    lab.limits = Limits(per_tool={"read": 2})
    result = lab.run()
    assert (result.outcome, result.cause, len(lab.tools["read"].calls)) == ("limit", "limit_per_tool", 2)


def cent(_name, _usage):
    return 0.01


def reading(lab, kit, n=3):
    lab.tool("read")
    turns = [kit.calling(("read", i), ids=(f"x{i}",)) for i in range(n)]
    lab.model = kit.Model(*turns, kit.says("Done."))
    lab.flow(kit.asks("READ", "read", done=lambda b: b.get("read", 0) >= n))


@pytest.mark.parametrize(("most", "outcome"), [(0.04, "success"), (0.02, "limit")])
def test_a_task_costs_no_more_than_its_budget_and_the_call_under_way(lab, kit, most, outcome):
    reading(lab, kit)
    lab.limits = Limits(cost_usd=most)
    lab.options["price"] = cent
    result = lab.run()
    assert result.outcome == outcome
    if outcome == "limit":
        assert (result.cause, len(lab.model.requests)) == ("limit_cost_usd", 3)
    assert lab.task().budget_used["cost_usd"] == pytest.approx(0.01 * len(lab.model.requests))


def test_an_attempt_that_broke_off_costs_what_was_sent(lab, kit):
    reading(lab, kit, 1)
    lab.model.first = [TimeoutError()]
    lab.options["price"] = lambda _name, usage: usage.input_tokens * 1.0
    lab.run()
    whole = lab.task().budget_used
    assert whole["cost_usd"] > 0
    lab.run("r2")
    assert whole["cost_usd"] > lab.task("r2").budget_used["cost_usd"]


def test_a_limit_of_cost_for_a_model_without_a_price_is_refused_before_anything_runs(lab, kit):
    reading(lab, kit)
    lab.limits = Limits(cost_usd=1)
    with pytest.raises(DefinitionError, match="'script'"):
        lab.runtime()
    models = (lab.model, kit.Model(name="second"))
    with pytest.raises(DefinitionError, match="'second'"):
        lab.runtime(model=models, price=lambda name, _usage: 1.0 if name == "script" else None)
    assert lab.runtime(price=cent)


def test_usage_that_was_reported_is_what_is_charged(lab, kit):
    lab.model = kit.Model(Turn(text="Done.", usage=Usage(input_tokens=7, output_tokens=3)))
    lab.flow(kit.asks("END", done=lambda _b: True))
    lab.options["price"] = lambda _name, usage: usage.input_tokens + 10.0 * usage.output_tokens
    lab.run()
    assert lab.task().budget_used["cost_usd"] == 37


def two_models(lab, kit, *first, names=("one", "two")):
    lab.flow(kit.asks("END", done=lambda _b: True))
    one, two = kit.Model(kit.says("One."), name=names[0]), kit.Model(kit.says("Two."), name=names[1])
    one.first = list(first)
    lab.options["model"] = (one, two)
    return one, two


def asked(lab):
    async def steps(runtime):
        return [s.model for s in await runtime.store.steps("r1") if s.kind == "model"]

    return lab.play(steps)


def test_the_first_model_is_asked_as_long_as_it_answers(lab, kit):
    _one, two = two_models(lab, kit)
    assert (lab.run().answer, two.requests, asked(lab)) == ("One.", [], ["one"])


def test_a_model_that_refuses_for_good_is_replaced_at_once(lab, kit):
    two_models(lab, kit, ModelError("no", code="auth", transient=False))
    assert (lab.run().answer, asked(lab), lab.clock.pauses) == ("Two.", ["one", "two"], [])


def test_a_model_that_fails_twice_is_replaced(lab, kit):
    two_models(lab, kit, *[ModelError("busy", transient=True)] * 2)
    assert (lab.run().answer, asked(lab)) == ("Two.", ["one", "one", "two"])


def test_two_endpoints_of_one_name_are_two_models(lab, kit):
    two_models(lab, kit, ModelError("no", code="auth", transient=False), names=("same", "same"))
    assert (lab.run().answer, asked(lab)) == ("Two.", ["same", "same"])


def test_when_all_models_refuse_the_task_fails_with_the_last_reason(lab, kit):
    _one, two = two_models(lab, kit, ModelError("no", code="auth", transient=False))
    two.first = [ModelError("no", code="content_filter", transient=False)]
    result = lab.run()
    assert (result.outcome, result.cause) == ("failed", "content_filter")


def test_a_process_that_died_twice_says_nothing_against_the_model(lab, kit, killed):
    one, _two = two_models(lab, kit)

    async def die(request):
        raise killed

    real, one.complete = one.complete, die
    for _ in range(2):
        with pytest.raises(killed):
            lab.run()
        lab.world.restart()
    one.complete = real
    assert (lab.run().answer, asked(lab)) == ("One.", ["one", "one", "one"])


def test_dying_while_one_model_stands_in_for_another_gives_the_same_answer(deaths, kit):
    def set_up(lab):
        two_models(lab, kit, *[ModelError("no", code="auth", transient=False)] * 9)

    for _lab, result in deaths(set_up, lambda lab: lab.run()):
        assert (result.outcome, result.answer) == ("success", "Two.")


def test_an_error_of_ours_is_never_taken_for_one_of_the_model(lab, kit):
    with pytest.raises(AgentError):
        lab.runtime(limits=Limits(per_tool={"read": 0}))
