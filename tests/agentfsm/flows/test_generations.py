"""Generations side by side: a task stays on its own; a canary goes back by itself; a shadow touches nothing."""

from dataclasses import replace

import pytest

from agentfsm import Effect, InputChanged, Limits, Stage
from agentfsm.errors import DefinitionError
from agentfsm.generation import Generation
from agentfsm.rollout_plan import Rollout, choose

EXAMPLE = {"value": 0}


class Two:
    """Version 1 reads, then pays with `pay`; version 2 reads, then pays with `pay_well`, one more."""

    def __init__(self, lab, kit):
        self.lab = lab
        for name in ("read", "pay", "pay_well"):
            effect = Effect.PURE if name == "read" else Effect.IDEMPOTENT
            lab.tool(name, effect, **({} if effect is Effect.PURE else {"example": EXAMPLE}))
        answers = {"answers": lambda b: f"{b['read']} {sorted(b)[0]}"}
        self.one = self.workflow(1, kit.own("READ", ("read", 1)), kit.own("PAY", ("pay", 1)), **answers)
        self.two = self.workflow(2, kit.own("READ", ("read", 1)), kit.own("PAY", ("pay_well", 2)), **answers)
        lab.options["model"] = ()

    def workflow(self, version, *stages, **options):
        names = {tool for stage in stages for tool in stage.tools}
        contracts = tuple(tool.contract for name, tool in self.lab.tools.items() if name in names)
        return self.lab.flow(*stages, version=version, contracts=contracts, **options)

    def tools(self, workflow):
        return {c.name: self.lab.tools[c.name].port() for c in workflow.contracts}

    def deploy(self, *workflows, **options):
        """Let the processes that start from now on have these versions, the newest first."""
        newest, *earlier = workflows
        self.lab.workflow = newest
        self.lab.options["tools"] = self.tools(newest)
        self.lab.options["earlier"] = [Generation(one, self.tools(one)) for one in earlier]
        self.lab.options.update(options)
        return self


@pytest.fixture
def two(lab, kit):
    return Two(lab, kit)


def effects(lab):
    return {name: len(lab.tools[name].effects) for name in ("pay", "pay_well")}


def test_a_task_goes_on_with_the_version_it_started_with(lab, two, killed):
    two.deploy(two.one)
    lab.tools["read"].script = [killed()]
    with pytest.raises(killed):
        lab.run()
    lab.world.restart()
    two.deploy(two.two, two.one)
    assert lab.run().outcome == "success"
    assert (lab.task().workflow, effects(lab)) == ("flow@1", {"pay": 1, "pay_well": 0})
    assert lab.run("r2").outcome == "success"
    assert (lab.task("r2").workflow, effects(lab)) == ("flow@2", {"pay": 1, "pay_well": 1})


def test_a_task_asks_with_the_prompt_and_the_models_of_its_version(lab, kit, killed):
    lab.tool("read")
    old, new = kit.Model(kit.calling(("read", 1)), kit.says("Old.")), kit.Model(kit.says("New."))
    one = lab.flow(kit.asks("READ", "read"), instructions="Be old.")
    two = replace(one, version=2, instructions="Be new.")
    lab.workflow, lab.model = one, old
    lab.tools["read"].script = [killed()]
    with pytest.raises(killed):
        lab.run()
    lab.world.restart()
    lab.workflow, lab.model = two, new
    tools = {"read": lab.tools["read"].port()}
    assert lab.run(earlier=[Generation(one, tools, (old,))]).answer == "Old."
    assert {request.messages[0].text for request in old.requests} == {"Be old."}
    assert new.requests == []


def test_a_task_of_a_version_that_is_not_here_is_refused_and_left_as_it_was(lab, two, killed):
    two.deploy(two.two)
    lab.tools["read"].script = [killed()]
    with pytest.raises(killed):
        lab.run()
    lab.world.restart()
    before = (lab.task(), lab.steps(), lab.audit())
    two.deploy(two.one)
    for act in (
        lab.run,
        lambda: lab.play(lambda r: r.resume("r1")),
        lambda: lab.deliver("user", "message", {}),
    ):
        with pytest.raises(InputChanged, match="flow@2") as refused:
            act()
        assert refused.value.code == "workflow_changed"
    assert (lab.task(), lab.steps(), lab.audit()) == before


def test_two_generations_of_one_version_or_of_other_workflows_are_refused(lab, two):
    two.deploy(two.one, two.one)
    with pytest.raises(DefinitionError, match="flow@1 is there twice"):
        lab.runtime()
    two.deploy(two.one, replace(two.two, name="other"))
    with pytest.raises(DefinitionError, match="other@2"):
        lab.runtime()


def test_a_canary_gets_its_share_and_always_the_same_tasks(lab, two):
    rollout = Rollout(stable=1, canary=2, percent=30)
    two.deploy(two.two, two.one, rollout=rollout)
    names = [f"t{i}" for i in range(20)]
    for name in names:
        lab.run(name)
    found = {name: lab.task(name).workflow for name in names}
    assert found == {name: f"flow@{choose(rollout, 'flow', name)}" for name in names}
    assert 0 < sum(label == "flow@2" for label in found.values()) < 20


def worse(lab, two, **rollout):
    """A canary that fails always, until it has been taken back."""
    given = Rollout(**{"stable": 1, "canary": 2, "percent": 50, "min_tasks": 3, "worse_by": 0.2, **rollout})
    two.deploy(two.two, two.one, rollout=given)
    lab.tools["pay_well"].script = [{"status": "permanent_error"}] * 99
    for i in range(24):
        lab.run(f"t{i}")
    return [lab.task(f"t{i}") for i in range(24)]


def test_a_canary_that_does_worse_is_taken_back_by_itself(lab, two):
    tasks = worse(lab, two)
    canaries = [i for i, task in enumerate(tasks) if task.workflow == "flow@2"]
    assert len(canaries) >= 3
    assert all(task.outcome == "success" for task in tasks[canaries[-1] + 1 :])
    assert len(tasks) - canaries[-1] > 5, "it was never taken back"

    async def kept(runtime):
        codes = [incident.code for incident in await runtime.store.incidents()]
        return (await runtime.store.controls())[1]["rollout:flow"].value, codes

    value, codes = lab.play(kept)
    assert (value["stable"], value["canary"], value["percent"]) == (1, None, 0)
    assert codes.count("canary_rolled_back") == 1


def test_what_was_taken_back_elsewhere_is_known_to_a_runtime_that_was_idle(lab, two):
    two.deploy(two.two, two.one, rollout=Rollout(stable=1, canary=2, percent=100))

    async def main(runtime):
        await runtime.run(request_id="t0", text="go")
        other = type(lab.store.inner)(lab.world.path)
        await other.set_control("rollout:flow", {"stable": 1}, lab.clock.time())
        await other.close()
        await runtime.run(request_id="t1", text="go")

    lab.play(main)
    assert [lab.task(name).workflow for name in ("t0", "t1")] == ["flow@2", "flow@1"]


@pytest.mark.parametrize("rollout", [{"worse_by": None}, {"worse_by": 1.0}, {"min_tasks": 100}])
def test_a_canary_stays_where_its_metric_does_not_demand_it(lab, two, rollout):
    assert any(task.workflow == "flow@2" for task in worse(lab, two, **rollout)[-6:])


def test_a_rollout_of_versions_that_are_not_here_is_refused(lab, two):
    two.deploy(two.two, rollout=Rollout(stable=1, canary=2, percent=5))
    with pytest.raises(DefinitionError, match="1"):
        lab.runtime()


def test_a_shadow_has_no_effect_and_says_where_it_would_have_differed(lab, two):
    two.deploy(two.two, two.one, rollout=Rollout(stable=1, shadow=2))
    result = lab.run()
    assert (result.outcome, lab.task().workflow) == ("success", "flow@1")
    assert effects(lab) == {"pay": 1, "pay_well": 0}
    assert lab.tools["pay_well"].calls == []
    other = lab.task("r1~shadow")
    assert (other.mode, other.workflow, other.outcome, other.cause) == ("shadow", "flow@2", "partial", "shadow")
    assert lab.notes("shadow_difference", "r1~shadow") == [
        {"found": [{"what": "effect 1", "live": 'pay({"n":1})', "shadow": 'pay_well({"n":2})'}]}
    ]


def test_a_shadow_that_does_the_same_differs_in_nothing(lab, two):
    two.deploy(replace(two.one, version=2), two.one, rollout=Rollout(stable=1, shadow=2))
    lab.run()
    assert lab.notes("shadow_difference", "r1~shadow") == [{"found": []}]


def test_a_shadow_with_an_effect_less_differs(lab, two, kit):
    reads = two.workflow(2, kit.own("READ", ("read", 1)), answers=lambda _b: "")
    two.deploy(reads, two.one, rollout=Rollout(stable=1, shadow=2))
    lab.run()
    found = lab.notes("shadow_difference", "r1~shadow")[0]["found"]
    assert {"what": "effect 1", "live": 'pay({"n":1})', "shadow": None} in found


def crashes(_business):
    raise KeyError("no such thing")


@pytest.mark.parametrize(
    "broken",
    [
        {"begin": crashes},
        {"answers": crashes},
        {"fold": lambda *_: crashes(0)},
        {"stages": (Stage("S", frozenset(), lambda _b: False, calls=crashes),)},
    ],
    ids=lambda broken: next(iter(broken)),
)
def test_a_shadow_that_crashes_is_a_difference_and_the_live_task_never_knows(lab, two, broken):
    two.deploy(replace(two.two, **broken), two.one, rollout=Rollout(stable=1, shadow=2))
    result = lab.run()
    assert (result.outcome, effects(lab)["pay"]) == ("success", 1)
    rows = [*lab.notes("shadow_difference"), *lab.notes("shadow_difference", "r1~shadow")]
    assert rows == [{"found": [{"what": "error", "live": None, "shadow": "KeyError"}]}]
    assert lab.run() == result


def test_a_shadow_whose_effects_have_no_example_is_a_difference_too(lab, two):
    lab.tools["pay_well"].contract = replace(lab.tools["pay_well"].contract, example=None)
    two.deploy(replace(two.two, contracts=(lab.tools["read"].contract, lab.tools["pay_well"].contract)), two.one)
    lab.options["rollout"] = Rollout(stable=1, shadow=2)
    assert lab.run().outcome == "success"
    assert lab.notes("shadow_difference")[0]["found"][0]["shadow"] == "definition"


def test_dying_while_the_shadow_runs_leaves_the_live_task_done(deaths, kit):
    def set_up(lab):
        two = Two(lab, kit)
        two.deploy(two.two, two.one, rollout=Rollout(stable=1, shadow=2))

    for lab, result in deaths(set_up, lambda lab: lab.run()):
        assert (result.outcome, effects(lab)) == ("success", {"pay": 1, "pay_well": 0})


def test_a_dry_run_reads_but_changes_nothing_and_is_never_a_success(lab, two):
    two.deploy(two.one)

    async def main(runtime):
        return await runtime.run(request_id="r1", text="go", dry_run=True)

    result = lab.play(main)
    assert (result.outcome, result.cause, effects(lab)) == ("partial", "dry_run", {"pay": 0, "pay_well": 0})
    assert len(lab.tools["read"].calls) == 1
    assert lab.task().business_state["pay.sum"] == EXAMPLE["value"]


def test_a_dry_run_needs_no_approval_and_undoes_nothing(lab, kit):
    book = lab.tool("book", Effect.UNSAFE, destructive=True, example=EXAMPLE)
    read = lab.tool("read")
    release = lab.tool("release", Effect.IDEMPOTENT, compensates="book", example=EXAMPLE)
    read.script = [{"status": "permanent_error", "error_code": "gone"}]
    lab.options["model"] = ()
    undo = {"book": lambda arguments, _output: {"n": 1}}
    lab.flow(kit.own("B", ("book", 1)), kit.own("R", ("read", 1)), answers=lambda _b: "", compensations=undo)
    result = lab.play(lambda runtime: runtime.run(request_id="r1", text="go", dry_run=True))
    assert (result.outcome, result.cause) == ("failed", "gone")
    assert book.calls == release.calls == []


def test_a_dry_run_without_an_example_is_refused_and_nothing_is_stored(lab, kit):
    lab.tool("pay", Effect.UNSAFE)
    lab.options["model"] = ()
    lab.flow(kit.own("PAY", ("pay", 1)), answers=lambda _b: "")
    with pytest.raises(DefinitionError, match="pay"):
        lab.play(lambda runtime: runtime.run(request_id="r1", text="go", dry_run=True))
    assert lab.task() is None


def test_limits_hold_for_a_shadow_too(lab, two):
    two.deploy(two.two, two.one, rollout=Rollout(stable=1, shadow=2))
    lab.limits = Limits(steps=2)
    lab.run()
    assert lab.task("r1~shadow").outcome == "partial"
