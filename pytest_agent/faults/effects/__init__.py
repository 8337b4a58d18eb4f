"""The effects there are, one file each. The catalogue names them in `effect: {name: ...}`."""

from pytest_agent.faults.effect import Effect
from pytest_agent.faults.effects.announce_no_calls import AnnounceNoCalls
from pytest_agent.faults.effects.argument_pieces import ArgumentPieces
from pytest_agent.faults.effects.bytewise import Bytewise
from pytest_agent.faults.effects.cancelled import Cancelled
from pytest_agent.faults.effects.crash import Crash
from pytest_agent.faults.effects.cut_stream import CutStream
from pytest_agent.faults.effects.drop_done import DropDone
from pytest_agent.faults.effects.empty_delta import EmptyDelta
from pytest_agent.faults.effects.empty_turn import EmptyTurn
from pytest_agent.faults.effects.error_body_in_200 import ErrorBodyIn200
from pytest_agent.faults.effects.error_in_stream import ErrorInStream
from pytest_agent.faults.effects.extra_fields import ExtraFields
from pytest_agent.faults.effects.extra_headers import ExtraHeaders
from pytest_agent.faults.effects.extra_payload import ExtraPayload
from pytest_agent.faults.effects.hang_tool import HangTool
from pytest_agent.faults.effects.html_page import HtmlPage
from pytest_agent.faults.effects.keep_alive_stall import KeepAliveStall
from pytest_agent.faults.effects.keep_alives import KeepAlives
from pytest_agent.faults.effects.late_event import LateEvent
from pytest_agent.faults.effects.late_finish import LateFinish
from pytest_agent.faults.effects.late_first_byte import LateFirstByte
from pytest_agent.faults.effects.limit_headers import LimitHeaders
from pytest_agent.faults.effects.lose_reply import LoseReply
from pytest_agent.faults.effects.malform_arguments import MalformArguments
from pytest_agent.faults.effects.no_first_byte import NoFirstByte
from pytest_agent.faults.effects.note_reply import NoteReply
from pytest_agent.faults.effects.pad_reply import PadReply
from pytest_agent.faults.effects.pause_stream import PauseStream
from pytest_agent.faults.effects.provider_error import ProviderError
from pytest_agent.faults.effects.refuse_connection import RefuseConnection
from pytest_agent.faults.effects.refuse_turn import RefuseTurn
from pytest_agent.faults.effects.refuse_work import RefuseWork
from pytest_agent.faults.effects.repeat_call import RepeatCall
from pytest_agent.faults.effects.repeat_event import RepeatEvent
from pytest_agent.faults.effects.reset_stream import ResetStream
from pytest_agent.faults.effects.restart import Restart
from pytest_agent.faults.effects.second_worker import SecondWorker
from pytest_agent.faults.effects.slow_reply import SlowReply
from pytest_agent.faults.effects.spoil_ids import SpoilIds
from pytest_agent.faults.effects.sse_fields import SseFields
from pytest_agent.faults.effects.stall_stream import StallStream
from pytest_agent.faults.effects.stand_still import StandStill
from pytest_agent.faults.effects.store_broken import StoreBroken
from pytest_agent.faults.effects.store_fails import StoreFails
from pytest_agent.faults.effects.store_late import StoreLate
from pytest_agent.faults.effects.swap_events import SwapEvents
from pytest_agent.faults.effects.tasks_reordered import TasksReordered
from pytest_agent.faults.effects.tasks_shuffled import TasksShuffled
from pytest_agent.faults.effects.truncate_turn import TruncateTurn
from pytest_agent.faults.effects.unknown_event import UnknownEvent
from pytest_agent.faults.effects.unknown_tool import UnknownTool
from pytest_agent.faults.effects.unusual_ids import UnusualIds
from pytest_agent.faults.effects.unusual_json import UnusualJson
from pytest_agent.faults.effects.wall_clock import WallClock

EFFECTS: dict[str, type[Effect]] = {
    effect.name: effect
    for effect in (
        AnnounceNoCalls,
        ArgumentPieces,
        Bytewise,
        Cancelled,
        Crash,
        CutStream,
        DropDone,
        EmptyDelta,
        EmptyTurn,
        ErrorBodyIn200,
        ErrorInStream,
        ExtraFields,
        ExtraHeaders,
        ExtraPayload,
        HangTool,
        HtmlPage,
        KeepAliveStall,
        KeepAlives,
        LateEvent,
        LateFinish,
        LateFirstByte,
        LimitHeaders,
        LoseReply,
        MalformArguments,
        NoFirstByte,
        NoteReply,
        PadReply,
        PauseStream,
        ProviderError,
        RefuseConnection,
        RefuseTurn,
        RefuseWork,
        RepeatCall,
        RepeatEvent,
        ResetStream,
        Restart,
        SecondWorker,
        SlowReply,
        SpoilIds,
        SseFields,
        StallStream,
        StandStill,
        StoreBroken,
        StoreFails,
        StoreLate,
        SwapEvents,
        TasksReordered,
        TasksShuffled,
        TruncateTurn,
        UnknownEvent,
        UnknownTool,
        UnusualIds,
        UnusualJson,
        WallClock,
    )
}

__all__ = ["EFFECTS"]
