"""Loaded by every Python that finds this folder first: its commits are told to the test that started it."""

import os

if "PYTEST_AGENT_FOLDER" in os.environ and "PYTEST_AGENT_URL" in os.environ:
    from pytest_agent.stores.told import tell_commits

    tell_commits(os.environ["PYTEST_AGENT_URL"], os.environ["PYTEST_AGENT_FOLDER"])
