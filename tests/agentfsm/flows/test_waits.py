"""Several stages may wait for the same kind of event; each takes the one that comes while it waits, or came early."""

import asyncio

import pytest
from pydantic import BaseModel

from agentfsm import Stage
from agentfsm.waits import Wait


class Said(BaseModel):
    text: str


def asking(name):
    """A stage that waits for a message of the user and is left with it."""
    wait = Wait(
        cause=f"needs_{name}",
        source="user",
        kinds=frozenset({"message"}),
        payload=Said,
        timeout_s=60,
        timeout_cause="silence",
        tell=lambda _kind, payload: payload["text"],
        fold=lambda b, _kind, payload: {**b, name: payload["text"]},
        begins_when=lambda b: name not in b,
    )
    return Stage(name.upper(), frozenset(), lambda b: name in b, wait)


def two_questions(lab, kit):
    lab.options["model"] = ()
    stages = (asking("first"), asking("second"), Stage("END", frozenset(), lambda _b: False))
    done = lambda b: "second" in b  # noqa: E731
    lab.flow(*stages, answers=lambda b: f"{b['first']} {b['second']}", done_when=done)


def say(lab, text, event_id):
    return lab.deliver("user", "message", {"text": text}, event_id)


def test_each_of_two_waits_for_one_kind_takes_its_own(lab, kit):
    two_questions(lab, kit)
    assert lab.run().cause == "needs_first"
    assert say(lab, "a", "e1").cause == "needs_second"
    result = say(lab, "b", "e2")
    assert (result.outcome, result.answer) == ("success", "a b")


def test_what_came_before_its_wait_is_held_for_it_in_the_order_of_arrival(lab, kit):
    two_questions(lab, kit)

    async def main(runtime):
        given = [
            runtime.deliver(request_id="r1", source="user", event_id=f"e{n}", kind="message", payload={"text": text})
            for n, text in enumerate("ab")
        ]
        await runtime.submit(request_id="r1", text="go")
        for one in given:
            result = await one
        return result

    assert lab.play(main).answer == "a b"


def test_the_same_event_is_not_taken_for_two_answers(lab, kit):
    two_questions(lab, kit)
    lab.run()
    say(lab, "a", "e1")
    assert say(lab, "a", "e1").cause == "needs_second"


@pytest.mark.parametrize("payload", [None, {"text": 1}, {"words": "a"}, "a"])
def test_what_does_not_fit_is_stored_and_the_wait_goes_on(lab, kit, payload):
    two_questions(lab, kit)
    lab.run()
    assert lab.deliver("user", "message", payload).cause == "needs_first"
    assert lab.notes("event")[0]["reason"] == "invalid_payload"


def test_both_at_once_are_both_heard(lab, kit):
    two_questions(lab, kit)
    lab.run()

    async def main(runtime):
        both = [
            runtime.deliver(request_id="r1", source="user", event_id=f"e{n}", kind="message", payload={"text": text})
            for n, text in enumerate("ab")
        ]
        await asyncio.gather(*both)

    lab.play(main)
    assert sorted(lab.run().answer.split()) == ["a", "b"]


def test_dying_anywhere_between_two_answers_loses_neither(deaths, kit):
    def life(lab):
        lab.run()
        say(lab, "a", "e1")
        return say(lab, "b", "e2")

    for _lab, result in deaths(lambda lab: two_questions(lab, kit), life):
        assert (result.outcome, result.answer) == ("success", "a b")
