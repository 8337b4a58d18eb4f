from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pytest_agent.clock import Clock, _real


@pytest.fixture
def installed() -> Iterator[Clock]:
    """A clock of the test's own: the plugin's fixture `clock` would bring its whole world."""
    with Clock().installed() as clock:
        yield clock


@pytest.fixture
def really_took() -> Callable[[], float]:
    """Real seconds since the test began."""
    began = _real.perf_counter()
    return lambda: _real.perf_counter() - began
