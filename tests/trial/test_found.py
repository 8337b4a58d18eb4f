"""How an agent that a command line names is called."""

import functools
import sys
from types import ModuleType

import pytest

from pytest_agent.errors import UsageError
from pytest_agent.trial.found import find_agent


class Desk:
    def __call__(self, task, tools):
        return task

    async def alone(self, task):
        return task


AGENTS = {
    "one": (lambda task: task, False),
    "two": (lambda task, tools: task, True),
    "two_by_any_name": (lambda task, toolbox: task, True),
    "tools_if_any": (lambda task, tools=None: task, True),
    "an_option": (lambda task, model="gpt-5": task, False),
    "options": (lambda task, *, model="gpt-5", **more: task, False),
    "anything": (lambda *words: words, False),
    "an_object": (Desk(), True),
    "a_method": (Desk().alone, False),
    "partly_given": (functools.partial(lambda model, task: task, "gpt-5"), False),
}
NOT_AGENTS = {
    "nothing": lambda: None,
    "three": lambda task, tools, more: None,
    "by_name_only": lambda *, task: None,
    "more_by_name": lambda task, *, model: None,
}


@pytest.fixture(autouse=True)
def desk(monkeypatch):
    module = ModuleType("desk_of_this_test")
    vars(module).update({name: agent for name, (agent, _) in AGENTS.items()}, **NOT_AGENTS, Desk=Desk)
    monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.parametrize("name", AGENTS)
def test_it_is_given_the_tools_where_it_takes_them(name):
    found = find_agent(f"desk_of_this_test:{name}")
    agent, takes_tools = AGENTS[name]
    assert (found.agent, found.takes_tools) == (agent, takes_tools)


@pytest.mark.parametrize("name", NOT_AGENTS)
def test_what_cannot_be_called_with_a_task(name):
    with pytest.raises(
        UsageError, match=r"cannot be called with a task; expected agent\(task\) or agent\(task, tools\)"
    ):
        find_agent(f"desk_of_this_test:{name}")


def test_the_way_to_it_may_have_dots():
    assert find_agent("desk_of_this_test:an_object.alone").takes_tools is False
    with pytest.raises(UsageError, match=r"has no 'an_object.aloen'\. Did you mean 'alone'\?"):
        find_agent("desk_of_this_test:an_object.aloen")
