"""Causes: whose fault an end is, what the user is told and can do next, and whether it is an incident. One table.

An incident is what an operator has to look at: the system, a tool or a provider did not do what it has to, or nobody
can tell what happened. None is what works as meant: the user's own doing, an operator's, a business that refuses, a
limit that was set to be reached.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Fault = Literal["user", "system", "tool", "provider", "operator", "none"]


@dataclass(frozen=True)
class Cause:
    """What is to be said of a cause: in plain words to the user, what they can do next, and whose fault it is.

    `fault="called"` stands for whoever was called: the tool, or the model's provider.
    """

    fault: Literal["called"] | Fault
    words: str
    next_step: str
    incident: bool = False


_LATER = "Try again later."
_LOOK = "Ask support to look at it, and name the task."
_NARROW = "Ask for less at once, or ask support to raise the limit."
_REPHRASE = "Say what you need in other words and try again."
_WAIT = "There is nothing you need to do; the task goes on by itself."
CHECK = "Do not ask for it again before somebody has looked whether it happened. Support can do so; name the task."


def _all(
    codes: str, fault: Literal["called"] | Fault, words: str, next_step: str, *, incident: bool = False
) -> Mapping[str, Cause]:
    return {code: Cause(fault, words, next_step, incident) for code in codes.split()}


CAUSES: Mapping[str, Cause] = MappingProxyType(
    {
        # Still under way, or waiting for somebody.
        **_all("running", "none", "The task is still being worked on.", _WAIT),
        **_all("waiting", "none", "The task waits for an answer from outside.",
               "If you are asked for something, answer it: the task then goes on."),
        **_all("needs_approval", "none", "A person has to approve the next action first.", _WAIT),
        **_all("needs_person", "none", "A person has been asked, since a service could not answer.", _WAIT),
        **_all("paused_by_operator", "operator", "The task is held back for the moment.", _WAIT),
        # Works as meant, with a remark.
        **_all("degraded", "none", "A part was answered with less than usual, since a service could not.", _LATER),
        **_all("cached no_answer", "none", "A service could not answer by itself.", _LATER),
        **_all("dry_run", "none", "This was a dry run: nothing was really changed.", "Run it for real."),
        **_all("shadow", "none", "This was a rehearsal beside another task: nothing was changed.", "Nothing to do."),
        # The user's, the operator's, and the business's.
        **_all("cancelled", "user", "The task was cancelled.", "Ask for it again if you still need it."),
        **_all("invalid_input", "user", "A service did not accept the data.", "Check the data and try again."),
        **_all("kill_switch", "operator", "An operator has stopped such tasks.", _LATER),
        **_all("tool_disabled", "operator", "A service that is needed is switched off.", _LATER),
        **_all("approval_refused", "operator", "A person did not approve it.", "Ask them why before you try again."),
        **_all("approval_expired", "operator", "Nobody approved it in time.", "Try again, and tell who approves."),
        **_all("person_timeout", "operator", "Nobody answered in time.", "Try again, and tell who answers."),
        **_all("guard permanent_error", "none", "This is not possible under the rules.", _REPHRASE),
        **_all("content_filter refused", "provider", "The language model refused to work on this.", _REPHRASE),
        # Limits that were set to be reached.
        **_all("limit_steps limit_model_calls limit_tool_calls limit_tokens limit_cost_usd limit_per_tool limit_visits",
               "none", "The task used up what it was allowed to use.", _NARROW),
        **_all("limit_wall_s", "none", "The task took longer than it was allowed to.", "Try again, or ask for less."),
        **_all("limit_depth", "none", "The work was handed down too many times.", _NARROW),
        **_all("limit_attempts", "none", "It was tried as often as is allowed.", _LATER),
        **_all("limit_same_call limit_no_progress", "none", "The task went round in circles.", _REPHRASE),
        # The agent itself: its model would not keep to the rules, or it is set up wrongly.
        **_all("invalid_arguments unknown_tool not_allowed not_done empty_turn invalid_answer truncated", "system",
               "The assistant could not find a valid way to do it.", _REPHRASE, incident=True),
        **_all("never", "system", "The assistant tried what it must never do, and was stopped.", _LOOK, incident=True),
        **_all("no_model no_prompt", "system", "The assistant is not set up completely.", _LOOK, incident=True),
        **_all("corrupt_history corrupt_row newer_schema workflow_changed input_changed", "system",
               "What is stored of the task cannot be read here; it was left as it is.", _LOOK, incident=True),
        **_all("interrupted", "system", "The work was interrupted.", _LATER, incident=True),
        **_all("breaker_malformed breaker_store canary_rolled_back", "system",
               "Something behind the assistant was put right by itself.", "Nothing to do.", incident=True),
        # Whoever was called: it is out of order for now.
        **_all("timeout connection silent", "called", "A service did not answer in time.", _LATER, incident=True),
        **_all("not_sent", "called", "A service could not be reached; nothing was sent.", _LATER, incident=True),
        **_all("rate_limit overloaded server_error conflict temporary_error breaker_open breaker_opened", "called",
               "A service is overloaded or out of order.", _LATER, incident=True),
        **_all("throttled", "none", "Too many such requests at once; nothing was sent.", _LATER),
        # Whoever was called: it breaks its word, or will not have us.
        **_all("contract_violation undeclared_error_code tool_crashed", "tool",
               "A service answered in a way that cannot be relied on.", _LOOK, incident=True),
        **_all("incomplete_turn broken_stream bad_response reply_too_large model_error", "provider",
               "The language model's answer did not arrive whole.", _LATER, incident=True),
        **_all("model_crashed unsupported_parameter context_length_exceeded request_too_large bad_request", "system",
               "The assistant could not ask its language model.", _LOOK, incident=True),
        **_all("authentication permission not_found insufficient_quota certificate", "provider",
               "The assistant has no access to its language model.", _LOOK, incident=True),
        **_all("http_error", "tool", "A service did not accept the request.", _LOOK, incident=True),
        # Nobody can tell.
        **_all("effect_unknown", "called", "Nobody can tell whether it happened.", CHECK, incident=True),
        **_all("compensation_unconfirmed", "called",
               "It could not be done, and not everything could be shown to be undone.", CHECK, incident=True),
    }
)  # fmt: skip

BY_OUTCOME: Mapping[str, Cause] = MappingProxyType(
    {
        "success": Cause("none", "It is done.", "There is nothing you need to do."),
        "partial": Cause("none", "A part of it is done.", "See what is not done, and what the task waits for."),
        "failed": Cause("none", "It could not be done.", _REPHRASE),
        "cancelled": CAUSES["cancelled"],
        "limit": CAUSES["limit_steps"],
        "unknown": CAUSES["effect_unknown"],
    }
)
"""What is said of an outcome whose cause is not in the table."""
