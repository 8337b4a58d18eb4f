"""Public errors. Each has a stable `code`, carries its facts in `fields`, and survives pickling."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, ClassVar


class AgentError(Exception):
    """Root of everything agentfsm raises on purpose.

    `code` is stable and made for programs, the message for people; `fields` holds the facts as plain data.
    """

    default_code: ClassVar[str] = "agent_error"

    def __init__(self, message: str, *, code: str | None = None, **fields: Any) -> None:
        super().__init__(message)
        self.code = code or self.default_code
        self.fields = fields

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), str(self), self.code, self.fields)


def _rebuild(kind: type[AgentError], message: str, code: str, fields: dict[str, Any]) -> AgentError:
    return kind(message, code=code, **fields)


class InvalidTransition(AgentError):
    """An event arrived in a state that does not accept it. Nothing changed."""

    default_code = "invalid_transition"


class Conflict(AgentError):
    """Another worker has the task, or moved it on since it was read. Nothing was written; load it again.

    Code `busy`: its lease is live, `fields["left_s"]` says how long; nothing was begun. Code `fenced`: this
    worker's lease ran out and the task was taken over.
    """

    default_code = "conflict"


class InputChanged(AgentError):
    """Other input was offered under a request or step key that is already taken. Nothing was run."""

    default_code = "input_changed"


class StoreError(AgentError):
    """The store could not do its work. Nothing was written; what is stored is unharmed.

    Codes that may pass by themselves (`passing`): `store`, `locked` (others wrote all the time), `unavailable` (no
    connection, or it was lost: what was under way may have been written). Others: `disk_full`, `read_only`,
    `cannot_open`, `not_a_store`, `corrupt_file`, `corrupt_row`, `newer_schema` (a newer program has to do it),
    `old_schema` (run `agentfsm migrate`), `too_large`, `unstorable` (NUL, a lone surrogate, no plain JSON,
    an integer of more than 64 bits), `constraint` (a row that the tables refuse: another program wrote there),
    `store_closed`, `wrong_loop`, `store_url`.
    """

    default_code = "store"

    @property
    def passing(self) -> bool:
        """Whether the same may succeed a little later."""
        return self.code in {"store", "locked", "unavailable"}


class UnknownTask(AgentError):
    """`resume` was asked for a request id that the store has never seen."""

    default_code = "unknown_task"


class DefinitionError(AgentError):
    """A workflow, a contract or a set of tools does not fit together. Raised while building, never later."""

    default_code = "definition"


class InvalidControl(AgentError):
    """A flag, a kill switch or a rollout that was to be set says nothing anyone could act on. Nothing was written."""

    default_code = "invalid_control"


class ConfigError(AgentError):
    """An environment cannot be used. The message lists every fault, one a line: file, line, found, expected, the edit.

    `fields["faults"]` holds the same lines.
    """

    default_code = "config"


class InvalidEvent(AgentError):
    """An event has no identity, or cannot be stored. Nothing was written."""

    default_code = "invalid_event"


class InvalidArguments(AgentError):
    """The model's arguments do not satisfy the contract; the message is fit to be shown to the model."""

    default_code = "invalid_arguments"


class ContractViolation(AgentError):
    """A tool answered something its contract does not allow."""

    default_code = "contract_violation"


class Throttled(AgentError):
    """A tool's own limit let no call through in time: nothing was sent, so nothing is in doubt.

    `retry_after_s` is the soonest that a call can begin, in seconds from now; None where nobody can tell.
    """

    default_code = "throttled"

    def __init__(
        self, message: str, *, code: str | None = None, retry_after_s: float | None = None, **fields: Any
    ) -> None:
        super().__init__(message, code=code, retry_after_s=retry_after_s, **fields)
        self.retry_after_s = retry_after_s


class ModelError(AgentError):
    """One wire attempt at a model failed.

    Raise it from your own `Model` with `transient=True` where the same request may succeed later, and with
    `retry_after_s` (seconds, None = not said) where the provider named a pause.
    """

    default_code = "model_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        transient: bool = False,
        retry_after_s: float | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(message, code=code, transient=transient, retry_after_s=retry_after_s, **fields)
        self.transient = transient
        self.retry_after_s = retry_after_s


class IncompleteTurn(ModelError):
    """The stream ended before its terminal marker; nothing of the turn is kept."""

    default_code = "incomplete_turn"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` for a near miss, then what there is: the end of a sentence about an unknown name."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"{hint} Known: {', '.join(names) or 'none'}."
