"""The plugin of a session that tries an agent: `-p pytest_agent.trial.plugin`, and what to try in the environment.

By its words alone any process can have the same session again, as one that confirms a failure has to.
"""

from __future__ import annotations

import os

import pytest

from pytest_agent.trial.session import Trial, Wish

VARIABLE = "PYTEST_AGENT_TRY"
NAME = "pytest_agent_trial"


@pytest.hookimpl(trylast=True)  # pytest's own reporter is there by then
def pytest_configure(config: pytest.Config) -> None:
    """Find the agent that the environment names. Raises pytest.UsageError where it is not there."""
    wish = Wish.from_text(os.environ.get(VARIABLE, ""))
    config.pluginmanager.register(Trial.of(wish), NAME)
