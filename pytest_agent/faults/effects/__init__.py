"""The effects there are, one file each. The catalogue names them in `effect: {name: ...}`."""

from pytest_agent.faults.effect import Effect
from pytest_agent.faults.effects.crash import Crash
from pytest_agent.faults.effects.cut_stream import CutStream
from pytest_agent.faults.effects.drop_done import DropDone
from pytest_agent.faults.effects.limit_headers import LimitHeaders
from pytest_agent.faults.effects.lose_reply import LoseReply
from pytest_agent.faults.effects.malform_arguments import MalformArguments
from pytest_agent.faults.effects.pause_stream import PauseStream
from pytest_agent.faults.effects.provider_error import ProviderError
from pytest_agent.faults.effects.restart import Restart
from pytest_agent.faults.effects.slow_reply import SlowReply
from pytest_agent.faults.effects.stall_stream import StallStream
from pytest_agent.faults.effects.unusual_json import UnusualJson

EFFECTS: dict[str, type[Effect]] = {
    effect.name: effect
    for effect in (
        Crash,
        CutStream,
        DropDone,
        LimitHeaders,
        LoseReply,
        MalformArguments,
        PauseStream,
        ProviderError,
        Restart,
        SlowReply,
        StallStream,
        UnusualJson,
    )
}

__all__ = ["EFFECTS"]
