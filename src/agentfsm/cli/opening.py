"""Opening what a subcommand works on: the environment, the store, the models, the runtime."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from agentfsm.breaker import Breaker
from agentfsm.cli.agents import Build, find_agent, find_tools
from agentfsm.cli.context import BadUse, Context, folder_of
from agentfsm.config import Environment, load_environment
from agentfsm.config.environment import ModelSettings
from agentfsm.models.anthropic_messages import AnthropicMessages
from agentfsm.models.openai_chat import OpenAIChat
from agentfsm.ports import Model, Store
from agentfsm.runtime import Runtime
from agentfsm.store import open_store
from agentfsm.store.urls import is_postgres, sqlite_path


def environment_of(context: Context, *needs: str) -> Environment:
    """Return the environment; what `needs` names has to be set, but a store that was named beside it."""
    wanted = [need for need in needs if need != "store" or not getattr(context.args, "store", None)]
    return load_environment(context.args.env, folder=folder_of(context), needs=wanted)


def store_url(context: Context, environment: Environment | None = None) -> str:
    """Return where the store is: as the command says, else as its environment does."""
    environment = environment or environment_of(context, "store")
    return context.args.store or environment.store.value or ""


@asynccontextmanager
async def opened_store(context: Context, environment: Environment | None = None, *, new: bool) -> AsyncIterator[Store]:
    """Open the store; a file that is not there is made only where `new` allows it."""
    url = store_url(context, environment)
    if not new:
        _check_exists(url)
    store = open_store(url)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def opened_runtime(context: Context, *, patience_s: float = float("inf")) -> AsyncIterator[Runtime]:
    """Build the agent that the arguments name, as its environment says."""
    module, build = find_agent(context.args.agent)
    tools = find_tools(context.args.tools, module)
    environment = environment_of(context, "store", "models")
    settings = {
        "limits": environment.limits,
        "retry": environment.retry,
        "breaker": Breaker(**vars(environment.breaker)),
        "approval_s": environment.approval_s,
        "patience_s": patience_s,
    }
    _check(context.args.agent, build, settings)
    async with httpx.AsyncClient() as client, opened_store(context, environment, new=True) as store:
        models = [_model(client, wanted) for wanted in environment.models]
        ports = {"store": store, "model": models if len(models) > 1 else models[0], "tools": tools}
        runtime = _built(context, build(**ports, **settings))
        name = runtime.labels[0].rpartition("@")[0]
        if name in environment.rollout:
            settings = {**settings, "rollout": environment.rollout[name]}
            _check(context.args.agent, build, settings)
            runtime = _built(context, build(**ports, **settings))
        yield runtime


def _check_exists(url: str) -> None:
    if not is_postgres(url) and not Path(file := sqlite_path(url)[0]).exists():
        raise BadUse(f"there is no store {file!r} yet; name another one with --store, or start a task first")


def _check(agent: str, build: Build, settings: dict[str, Any]) -> None:
    try:
        inspect.signature(build).bind(store=None, model=None, tools=None, **settings)
    except TypeError as error:
        takes = "(*, store, model, tools, **settings)"
        raise BadUse(
            f"the agent {agent}: {error}. Let it be build{takes} and hand the settings to Runtime; else what the "
            f"environment says would not hold"
        ) from None


def _built(context: Context, found: object) -> Runtime:
    if not isinstance(found, Runtime):
        raise BadUse(f"the agent {context.args.agent} built a {type(found).__name__}, expected a Runtime")
    return found


def _model(client: httpx.AsyncClient, wanted: ModelSettings) -> Model:
    made = {"openai": OpenAIChat, "anthropic": AnthropicMessages}[wanted.provider]
    return made(
        client,
        model=wanted.model,
        base_url=(wanted.base_url.value if wanted.base_url else None) or "",
        api_key=(wanted.api_key.value if wanted.api_key else None) or "",
        first_event_s=wanted.first_event_s,
        idle_s=wanted.idle_s,
        temperature=wanted.temperature,
        max_tokens=wanted.max_tokens,
    )
