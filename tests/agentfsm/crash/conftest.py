"""A fresh database for each folder."""

import pytest


@pytest.fixture
def crash_url():
    return lambda folder: f"sqlite:///{folder}/tasks.db"
