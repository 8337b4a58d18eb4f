"""Virtual time: while a clock is installed, sleeping, deadlines and the event loop share one time that jumps.

Nothing waits: when all that a program does is wait for a time, that time is now. While real work is in flight
(a job in a thread, a socket operation, `Clock.busy`) time runs at real pace instead, so that a time-out never
fires merely because the loop was idle. The limits are listed in `Clock`.
"""

from pytest_agent.clock._active import active as active
from pytest_agent.clock._clock import Clock as Clock
from pytest_agent.clock._descriptors import describe as describe_descriptor
from pytest_agent.clock._descriptors import is_readable as is_readable
from pytest_agent.clock._gate import Gate as Gate
from pytest_agent.clock._hang import NothingToWaitFor as NothingToWaitFor
from pytest_agent.clock._install import keep as keep
from pytest_agent.clock._install import let_go as let_go
from pytest_agent.clock._loop import VirtualEventLoop as VirtualEventLoop
from pytest_agent.clock._loop import new_event_loop as new_event_loop
from pytest_agent.clock._waits import RealWait as RealWait
from pytest_agent.clock._waits import VirtualClockWarning as VirtualClockWarning

__all__ = [
    "Clock",
    "Gate",
    "NothingToWaitFor",
    "RealWait",
    "VirtualClockWarning",
    "VirtualEventLoop",
    "active",
    "describe_descriptor",
    "is_readable",
    "keep",
    "let_go",
    "new_event_loop",
]
