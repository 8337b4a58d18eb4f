"""The catalogue as it ships, and what it says of one that is wrong."""

import textwrap

import pytest

from pytest_agent.errors import UsageError
from pytest_agent.faults.catalogue import load_catalogue
from pytest_agent.faults.schedule import Schedule
from pytest_agent.invariants import CHECKS

GOOD = """\
id: reply-odd
layer: tool
title: An odd reply
looks_like: Something odd.
effect: {name: lose-reply, after_s: 5}
sweep: [how]
class: in_doubt
invariants: [I1]
correct: Do the right thing.
severity: low
evidence: [https://example.org]
control:
  id: reply-even
  title: An even reply
  effect: {name: slow-reply}
"""


@pytest.fixture
def write(tmp_path):
    def make(text=GOOD, name="reply-odd", folder="own"):
        path = tmp_path / folder / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path.parent

    return make


def test_what_ships():
    catalogue = load_catalogue()
    faults = [named for named in catalogue if not named.is_control]
    controls = [named for named in catalogue if named.is_control]
    assert len(faults) == len(controls) >= 6
    for named in faults:
        assert set(named.entry.invariants) & set(CHECKS), f"{named.id}: nothing judges it"
        assert catalogue[named.entry.control.id].effect.seam == named.effect.seam


def test_selecting():
    catalogue = load_catalogue()
    tools = catalogue.select("tool.*")
    assert {named.entry.layer for named in tools} == {"tool"}
    assert [named.is_control for named in tools] == [False, True] * (len(tools) // 2)
    assert [named.id for named in catalogue.select(["reply-*", "reply-lost"])] == ["reply-lost", "reply-slow"]
    assert len(catalogue.select("*")) == len(list(catalogue))
    with pytest.raises(UsageError, match=r"no fault fits 'reply-lots'. Did you mean 'reply-lost'\?"):
        catalogue.select("reply-lots")


def test_faults_of_the_author_beside_the_shipped_ones(write):
    catalogue = load_catalogue(write())
    assert catalogue["reply-odd"].effect.after_s == 5
    assert catalogue["reply-lost"].id == "reply-lost"


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ("reply-lots@tool:a", "unknown fault 'reply-lots'. Did you mean 'reply-lost'? Known: "),
        ("reply-lost@llm", "reply-lost acts at tool sites, not at llm; change the site"),
        ("crash-around-commit@store:commit.before", "acts at process sites, not at store"),
        ("reply-lost(hwo=reset)@tool:a", "unknown parameter 'hwo'. Did you mean 'how'? Known: after_s, how, lasts."),
        ("reply-lost(how=politely)@tool:a", "how: expected 'timeout' or 'reset', found 'politely'; write one of them"),
        ("reply-lost(after_s=soon)@tool:a", "after_s: expected a number, found 'soon'; change it"),
        ("reply-lost(after_s=-1)@tool:a", "after_s: expected 0 or more, found -1; change it"),
        ("stream-clean-eof(after=true)@llm", "after: expected a whole number, found true; change it"),
        ("stream-clean-eof(after=1.5)@llm", "after: expected a whole number, found 1.5; change it"),
    ],
)
def test_a_schedule_that_cannot_be_armed(schedule, said):
    with pytest.raises(UsageError) as caught:
        load_catalogue().arm(Schedule.parse(schedule))
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "layer: tool",
            "layer: tol",
            ":2 layer: expected 'transport', 'content', 'tool', 'orchestration' or 'deploy', found 'tol'; "
            "did you mean 'tool'?",
        ),
        ("severity: low", "", ":1 key 'severity' is missing; add it"),
        ("class: in_doubt", "", ":1 key 'class' is missing; add it"),
        (
            "severity: low",
            "severity: low\nseverty: high",
            ":11 severty: unknown key 'severty'. Did you mean 'severity'?",
        ),
        (
            "  id: reply-even",
            "  idd: reply-even",
            ":13 control.idd: unknown key 'idd'. Did you mean 'id'? Known: effect, id, title.",
        ),
        ("id: reply-odd", "id: Reply_Odd", ":1 id: string should match pattern"),
        ("id: reply-odd", "id: reply-other", ":1 id: 'reply-other' is not the name of the file; rename"),
        ("id: reply-odd", "id: 7", ":1 id: expected text, found 7; put it in quotes"),
        ("invariants: [I1]", "invariants: [I1, I99]", ":8 invariants[1]: string should match pattern"),
        ("invariants: [I1]", "invariants: []", ":8 invariants: expected at least 1 in the list, found []; add one"),
        ("{name: lose-reply, after_s: 5}", "{after_s: 5}", ":5 effect: key 'name' is missing; add the effect."),
        ("lose-reply", "loose-reply", ":5 effect.name: unknown effect 'loose-reply'. Did you mean 'lose-reply'?"),
        ("name: lose-reply", "name: [lose-reply]", ":5 effect.name: unknown effect ['lose-reply']."),
        (
            "after_s: 5",
            "after: 5",
            ":5 effect.after: effect 'lose-reply' has no parameter 'after'. Did you mean 'after_s'?",
        ),
        ("after_s: 5", "after_s: '5'", ":5 effect.after_s: expected a number, found '5'; take it out of quotes"),
        (
            "{name: lose-reply, after_s: 5}",
            "{name: provider-error}",
            ":5 effect.kind: effect 'provider-error' needs the parameter 'kind'; add it",
        ),
        (
            "{name: lose-reply, after_s: 5}",
            "lose-reply",
            ":5 effect: expected keys with values, found 'lose-reply'; change it",
        ),
        (
            "sweep: [how]",
            "sweep: [who]",
            ":6 sweep[0]: effect 'lose-reply' has no parameter 'who'. Did you mean 'how'?",
        ),
        (
            "id: reply-even",
            "id: reply-lost",
            ":13 control.id: 'reply-lost' is defined in faults/tool/reply-lost.yaml:1 already",
        ),
        ("title: An odd reply", "title: 2026-01-01T00:00:00Z\ntitle: b", ":4: key 'title' is given twice; keep one"),
    ],
)
def test_an_entry_that_is_wrong(write, old, new, said):
    assert GOOD.count(old) == 1
    with pytest.raises(UsageError) as caught:
        load_catalogue(write(GOOD.replace(old, new)))
    assert f"own/reply-odd.yaml{said}" in str(caught.value)


def test_a_name_taken_by_another_file(write):
    write(GOOD, "reply-odd", "one")
    with pytest.raises(
        UsageError, match=r"two/reply-odd.yaml:1 id: 'reply-odd' is defined in one/reply-odd.yaml:1 already"
    ):
        load_catalogue(write(folder="one"), write(folder="two"))


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="there is no such folder of faults"):
        load_catalogue(tmp_path / "missing")
