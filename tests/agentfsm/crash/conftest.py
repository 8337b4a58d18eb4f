"""A fresh database for each folder, in each store."""

import pytest


@pytest.fixture(params=["sqlite", "postgres"])
def crash_url(request):
    if request.param == "sqlite":
        return lambda folder: f"sqlite:///{folder}/tasks.db"
    server = request.getfixturevalue("postgres")
    return lambda _folder: server.fresh()
