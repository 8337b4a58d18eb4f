"""Kill switch and flags act on running tasks within one step, whoever sets them and wherever."""

import asyncio

import pytest

from agentfsm import Effect, Limits, SQLiteStore
from agentfsm.fallbacks import Degraded, OtherTool

BUSY = {"status": "temporary_error"}
SCOPES = ["kill:all", "kill:workflow:flow", "kill:workflow:flow@1"]


def three_steps(lab, kit, **options):
    for name in "abc":
        lab.tool(name, Effect.IDEMPOTENT)
    lab.options["model"] = ()
    stages = [kit.own(name.upper(), (name, 1)) for name in "abc"]
    lab.flow(*stages, answers=lambda _b: "Done.", **options)


def switching(lab, key, value):
    """What a tool does at whose call an operator elsewhere turns a switch."""

    async def turn(_n):
        store = SQLiteStore(lab.world.path)
        await store.set_control(key, value, lab.clock.time())
        await store.close()

    return turn


@pytest.mark.parametrize("key", SCOPES)
@pytest.mark.parametrize(
    ("strength", "claim"),
    [
        ("pause", ("partial", "paused_by_operator", "WAITING_EXTERNAL")),
        ("stop", ("cancelled", "kill_switch", "FAILED")),
    ],
)
def test_turned_in_mid_task_it_acts_before_the_next_step(lab, kit, key, strength, claim):
    three_steps(lab, kit)
    lab.tools["a"].script = [switching(lab, key, strength)]
    result = lab.run()
    assert (result.outcome, result.cause, result.state) == claim
    assert [len(lab.tools[name].effects) for name in "abc"] == [1, 0, 0]
    assert lab.gapless()


@pytest.mark.parametrize("key", ["kill:workflow:other", "kill:workflow:flow@2", "kill:tool:other"])
def test_turned_for_something_else_it_does_nothing(lab, kit, key):
    three_steps(lab, kit)
    lab.control(key, "stop")
    assert lab.run().outcome == "success"


def test_turned_before_the_start_nothing_is_sent(lab, kit):
    three_steps(lab, kit)
    lab.control("kill:all", "pause")
    assert lab.run().cause == "paused_by_operator"
    lab.control("kill:all", "off")
    assert lab.run().outcome == "success"
    lab.control("kill:all", "stop")
    assert lab.run("r2").outcome == "cancelled"
    assert [len(lab.tools[name].effects) for name in "abc"] == [1, 1, 1]


def test_a_runtime_that_was_idle_for_long_does_not_begin_on_what_it_knew(lab, kit):
    three_steps(lab, kit)

    async def main(runtime):
        await runtime.run(request_id="r0", text="go")
        await switching(lab, "kill:all", "pause")(0)
        return await runtime.run(request_id="r1", text="go")

    assert lab.play(main).cause == "paused_by_operator"
    assert len(lab.tools["a"].effects) == 1


def test_lifted_the_task_goes_on_where_it_was_and_its_clock_has_stood_still(lab, kit):
    three_steps(lab, kit)
    lab.limits = Limits(wall_s=20)
    lab.tools["a"].script = [switching(lab, "kill:all", "pause")]
    lab.run()
    lab.clock.now += 3600
    assert lab.run().cause == "paused_by_operator"
    lab.clock.now += 3600
    lab.control("kill:all", "off")
    assert lab.run().outcome == "success"
    assert lab.task().waited_s == 7200
    assert [len(lab.tools[name].effects) for name in "abc"] == [1, 1, 1]


def test_stopped_while_it_is_held_the_task_ends(lab, kit):
    three_steps(lab, kit)
    lab.control("kill:all", "pause")
    lab.run()
    lab.control("kill:all", "stop")
    result = lab.run()
    assert (result.outcome, result.cause, result.state) == ("cancelled", "kill_switch", "FAILED")


@pytest.mark.parametrize(("strength", "cause"), [("pause", "paused_by_operator"), ("stop", "kill_switch")])
def test_turned_during_the_pause_before_another_attempt_that_attempt_is_not_made(lab, kit, strength, cause):
    three_steps(lab, kit)
    lab.tools["b"].script = [BUSY]
    real = lab.clock.sleep

    async def sleep(delay_s):
        await switching(lab, "kill:all", strength)(0)
        await real(delay_s)

    lab.clock.sleep = sleep
    assert (lab.run().cause, len(lab.tools["b"].calls)) == (cause, 1)
    lab.clock.sleep = real
    lab.control("kill:all", "off")
    assert lab.run().outcome == ("success" if strength == "pause" else "cancelled")
    assert len(lab.tools["b"].calls) == (2 if strength == "pause" else 1)


def test_turned_while_a_process_is_dead_the_attempt_under_way_is_not_repeated_before_it_is_lifted(lab, kit, killed):
    three_steps(lab, kit)
    lab.tools["b"].script = [killed()]
    with pytest.raises(killed):
        lab.run()
    lab.world.restart()
    lab.control("kill:all", "pause")
    result = lab.run()
    assert (result.cause, len(lab.tools["b"].calls)) == ("paused_by_operator", 1)
    lab.control("kill:all", "off")
    assert lab.run().outcome == "success"
    assert lab.tools["b"].effects == ["r1:2"]


def test_stopped_with_an_effect_in_doubt_the_end_says_so(lab, kit, killed):
    three_steps(lab, kit)
    lab.tools["b"].script = [killed()]
    with pytest.raises(killed):
        lab.run()
    lab.world.restart()
    lab.control("kill:all", "stop")
    result = lab.run()
    assert (result.outcome, [e["key"] for e in result.unknown]) == ("cancelled", ["r1:2"])


def test_a_fallback_is_something_new_and_waits_too(lab, kit):
    three_steps(lab, kit, fallbacks={"b": (OtherTool("c"),)})

    async def off_and_pause(n):
        await switching(lab, "kill:all", "pause")(n)
        return {"status": "permanent_error"}

    lab.tools["b"].script = [off_and_pause]
    assert (lab.run().cause, lab.tools["c"].calls) == ("paused_by_operator", [])
    lab.control("kill:all", "off")
    assert lab.run().outcome == "success"
    assert [call[1] for call in lab.tools["c"].calls] == ["r1:3", "r1:4"]


@pytest.mark.parametrize("strength", ["pause", "stop"])
def test_what_was_begun_to_be_undone_is_undone_to_the_end(lab, kit, strength):
    book = lab.tool("book", Effect.IDEMPOTENT)
    pay = lab.tool("pay", Effect.IDEMPOTENT)
    release = lab.tool("release", Effect.IDEMPOTENT, compensates="book")
    pay.script = [{"status": "permanent_error", "error_code": "declined"}]
    release.script = [BUSY]
    lab.options["model"] = ()
    undo = {"book": lambda arguments, _output: {"n": arguments["n"]}}
    lab.flow(kit.own("B", ("book", 1)), kit.own("P", ("pay", 1)), answers=lambda _b: "", compensations=undo)
    real = lab.clock.sleep

    async def sleep(delay_s):
        await switching(lab, "kill:all", strength)(0)
        await real(delay_s)

    lab.clock.sleep = sleep
    result = lab.run()
    assert (result.outcome, result.cause) == ("failed", "declined")
    assert (len(book.effects), len(release.effects)) == (1, 1)


def test_stopped_after_an_effect_the_effect_is_undone(lab, kit):
    book = lab.tool("book", Effect.IDEMPOTENT)
    lab.tool("pay", Effect.IDEMPOTENT)
    release = lab.tool("release", Effect.IDEMPOTENT, compensates="book")
    book.script = [switching(lab, "kill:all", "stop")]
    lab.options["model"] = ()
    undo = {"book": lambda arguments, _output: {"n": arguments["n"]}}
    lab.flow(kit.own("B", ("book", 1)), kit.own("P", ("pay", 1)), answers=lambda _b: "", compensations=undo)
    result = lab.run()
    assert (result.outcome, result.cause, len(release.effects)) == ("cancelled", "kill_switch", 1)


@pytest.mark.parametrize("strength", ["pause", "stop"])
def test_a_tool_that_is_switched_off_is_refused_with_a_reason_for_the_model(lab, kit, strength):
    lab.tool("read")
    lab.model = kit.Model(kit.calling(("read", 1)), kit.says("Sorry."), kit.says("Sorry."), kit.says("Sorry."))
    lab.flow(kit.asks("READ", "read"))
    lab.control("kill:tool:read", strength)
    assert (lab.run().outcome, lab.tools["read"].calls) == ("failed", [])
    assert "switched off by an operator" in lab.model.requests[1].messages[-1].text


def test_a_tool_that_is_switched_off_between_two_attempts_is_not_called_again(lab, kit):
    three_steps(lab, kit, fallbacks={"b": (Degraded({"value": 0}),)})

    async def off(n):
        await switching(lab, "kill:tool:b", "stop")(n)
        return BUSY

    lab.tools["b"].script = [off]
    result = lab.run()
    assert (result.outcome, result.cause, len(lab.tools["b"].calls)) == ("partial", "degraded", 1)


def test_a_flag_gives_and_takes_a_tool_within_one_step(lab, kit):
    read = lab.tool("read", flag="reading")
    calls = [kit.calling(("read", n), ids=(f"x{n}",)) for n in range(3)]
    lab.model = kit.Model(*calls, kit.says("Read."))
    lab.flow(kit.asks("READ", "read", done=lambda b: b.get("read", 0) >= 1))
    lab.control("flag:reading", True)
    read.script = [switching(lab, "flag:reading", False)]
    assert lab.run().outcome == "success"
    assert [n for n, _ in read.calls] == [0]
    assert sum("tool_disabled" in text for text in lab.model.told()) == 2


def test_a_flag_that_was_never_set_or_whose_day_is_over_gives_nothing(lab, kit):
    read = lab.tool("read", flag="reading")
    lab.model = kit.Model(kit.calling(("read", 1)), *[kit.says("No.")] * 3)
    lab.flow(kit.asks("READ", "read"))
    lab.run()
    lab.control("flag:reading", {"on": True, "until": "1969-12-31"})
    lab.run("r2")
    assert read.calls == []


def test_dying_anywhere_around_a_pause_by_the_operator_changes_nothing(deaths, kit):
    def set_up(lab):
        three_steps(lab, kit)
        lab.tools["a"].script = [switching(lab, "kill:all", "pause")]
        lab.tools["b"].script = [BUSY]

    def life(lab):
        result = lab.run()
        if result.cause == "paused_by_operator":
            lab.control("kill:all", "off")
            result = lab.run()
        return result

    for lab, result in deaths(set_up, life):
        assert result.outcome == "success"
        assert [lab.tools[name].effects for name in "abc"] == [["r1:1"], ["r1:2"], ["r1:3"]]


def test_a_group_that_is_out_is_heard_before_the_pause_begins(lab, kit):
    for name in "ab":
        lab.tool(name, Effect.IDEMPOTENT)
    lab.options["model"] = ()
    lab.flow(kit.own("ALL", ("a", 1), ("b", 2)), answers=lambda _b: "Done.")
    turned = asyncio.Event()

    async def turn(n):
        await switching(lab, "kill:all", "pause")(n)
        turned.set()

    async def later(_n):
        await turned.wait()
        return BUSY

    lab.tools["a"].script, lab.tools["b"].script = [turn], [later]
    assert (lab.run().cause, len(lab.tools["b"].calls)) == ("paused_by_operator", 1)
    lab.control("kill:all", "off")
    assert lab.run().outcome == "success"
    assert [lab.tools[name].effects for name in "ab"] == [["r1:1"], ["r1:2"]]
