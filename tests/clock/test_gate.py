"""One thread waits for another in virtual time, and is told when nobody is left to wait for."""

import threading
import time

import pytest

from pytest_agent.clock import Clock, Gate, NothingToWaitFor


@pytest.fixture
def clock():
    made = Clock()
    with made.installed():
        yield made


def opener(gate, after_s):
    def work():
        time.sleep(after_s)
        gate.open()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.parametrize("timeout_s", [None, 3600])
def test_it_is_opened_at_the_others_time(clock, timeout_s):
    gate = Gate()
    thread = opener(gate, 600)
    assert gate.wait(timeout_s)
    assert clock.elapsed_s == pytest.approx(600, abs=1)
    thread.join()


def test_its_limit_is_virtual(clock):
    gate = Gate()
    thread = opener(gate, 600)
    assert not gate.wait(30)
    assert clock.elapsed_s == pytest.approx(30, abs=1)
    thread.join()
    assert gate.wait(0)


def test_one_that_is_open_keeps_nobody(clock):
    gate = Gate()
    gate.open()
    assert gate.wait(None)
    assert clock.elapsed_s == 0


def test_nobody_waits_for_ever(clock):
    with pytest.raises(NothingToWaitFor, match="none is at work"):
        Gate().wait(None)


def test_without_a_clock_it_waits_really():
    gate = Gate()
    assert not gate.wait(0.001)
    thread = threading.Thread(target=gate.open)
    thread.start()
    assert gate.wait(30)
    thread.join()


def test_a_clock_that_goes_releases_who_waits():
    clock, gate, ended = Clock(), Gate(), []
    clock.install()
    waiting = threading.Event()

    def work():
        waiting.set()
        ended.append(gate.wait(3600))

    thread = threading.Thread(target=work)
    thread.start()
    waiting.wait()
    clock.uninstall()
    gate.open()
    thread.join(30)
    assert not thread.is_alive()
