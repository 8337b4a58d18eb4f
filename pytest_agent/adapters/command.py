"""`command([...])`: an agent in a process of its own, in any language, against the model server."""

from __future__ import annotations

import builtins
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_agent.adapters.child_process import MOST_OUTPUT, THREADS, ChildProcess
from pytest_agent.adapters.outside import LIMIT_S, Answer, answer_of, said_in_json, tail
from pytest_agent.errors import RunAbort, UsageError
from pytest_agent.outcome import AgentFailed, is_programming_error
from pytest_agent.run import Run


def command(
    words: Sequence[str],
    *,
    stdin: bool = False,
    limit_s: float = LIMIT_S,
    environment: Mapping[str, str] | None = None,
    folder: Path | str | None = None,
    conversation: str | None = None,
) -> Command:
    """An agent that is a command line: `run_agent(command(["node", "agent.js"]), "the task")`.

    The task is its last argument, or its standard input with `stdin`. It finds the model by the variables of the
    providers' SDKs, which stand over those of this process, and `environment` over both; with a `conversation` it
    belongs to that. It runs in `folder`, by default the current one.

    What it prints is its answer, and exit code 0 claims success; if its last line is JSON with an `outcome`, such as
    `{"outcome": "partial", "cause": "timeout", "answer": "..."}`, that is taken at its word. Another exit code raises
    `AgentFailed` with the end of its stderr; a signal, or a traceback of a programming error in Python, is a crash.

    It has `limit_s` real seconds: after that it is hung, which no agent may be, so give its clients shorter timeouts.
    At the end, whatever that is, its whole process group is killed. No guard is in it: what it asks beside the model is
    real. Raises UsageError for words that are no command line.
    """
    if isinstance(words, str) or not words or not all(isinstance(word, str) and word for word in words):
        raise UsageError(f"command({words!r}): expected a list of words, such as command(['node', 'agent.js'])")
    if limit_s <= 0:
        raise UsageError(f"command(..., limit_s={limit_s!r}): expected a number of real seconds above 0")
    place = None if folder is None else Path(folder)
    return Command(tuple(words), stdin, limit_s, dict(environment or {}), place, conversation)


@dataclass(frozen=True, slots=True)
class Command:
    """What `command` makes. `run_agent` calls it."""

    words: tuple[str, ...]
    stdin: bool = False
    limit_s: float = LIMIT_S
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    conversation: str | None = None

    def of_run(self, run: Run) -> _Bound:
        """The command against the model of this run."""
        return _Bound(self, run)


@dataclass(frozen=True, slots=True)
class _Bound:
    command: Command
    run: Run

    def __call__(self, *task: str) -> Answer:
        shown = Path(self.command.words[0]).name  # where it is belongs to the machine, and not into a result
        if not all(isinstance(word, str) for word in task):
            raise UsageError(f"command([{shown!r}, ...]) takes its task as text, found {task!r}")
        words = self.command.words if self.command.stdin else (*self.command.words, *task)
        told = "\n".join(task) if self.command.stdin else None
        self.run.clock.ignore_thread(THREADS)
        with self.run.llm_server() as server:
            variables = {
                **os.environ,
                **server.environment(self.command.conversation),
                **self.command.environment,
            }
            try:
                child = ChildProcess(words, environment=variables, folder=self.command.folder, told=told)
            except OSError as error:
                raise UsageError(f"command([{shown!r}, ...]) cannot be started: {error}") from None
            try:
                ended = child.wait(self.command.limit_s)
            finally:
                code = child.end()
        if child.runaway:
            raise RunAbort("runaway", f"{shown} printed more than {MOST_OUTPUT:,} bytes, and was killed")
        if not ended:
            detail = f"{shown} had not ended after {self.command.limit_s:g} real seconds, and was killed"
            raise RunAbort("hung", f"{detail}{_said(child)}")
        return _claimed(child, code)


def _claimed(child: ChildProcess, code: int) -> Answer:
    said = child.stdout.strip()
    line = said_in_json(said.rpartition("\n")[2])
    if line is not None and (code == 0 or line["outcome"] != "success"):
        return answer_of(line, said)
    if code == 0:
        return Answer(said, raw=said)
    how = f"it was ended by signal {-code}" if code < 0 else f"exit code {code}"
    raise AgentFailed(f"{how}{_said(child)}", crash=code < 0 or _is_a_mistake(child.stderr))


def _said(child: ChildProcess) -> str:
    last = tail(child.stderr)
    return f"; stderr: {last}" if last else ""


_LAST_WORD = re.compile(r"^(\w+)(?::|$)")


def _is_a_mistake(stderr: str) -> bool:
    """Whether Python ended with an error that it counts as one in process: a traceback whose last line names it."""
    if "Traceback (most recent call last):" not in stderr:
        return False
    named = _LAST_WORD.match(stderr.strip().rpartition("\n")[2])
    found: Any = getattr(builtins, named[1], None) if named else None
    return isinstance(found, type) and is_programming_error(found)
