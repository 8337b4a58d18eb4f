"""Loading an environment: read its layers, check everything, and say everything that is wrong at once."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from agentfsm.budgets import Limits
from agentfsm.config.document import Document, EnvPart, ModelPart
from agentfsm.config.environment import BreakerSettings, Environment, ModelSettings, Reference, WorkerSettings
from agentfsm.config.layers import Merged, merge
from agentfsm.config.yaml_file import Place
from agentfsm.errors import ConfigError, DefinitionError, did_you_mean
from agentfsm.recovery import Retry
from agentfsm.rollout_plan import Rollout

NEEDS = ("store", "models")
_REFERENCES = {"api_key": "OPENAI_API_KEY", "base_url": "OPENAI_BASE_URL", "store": "AGENTFSM_STORE"}
_LITERAL = re.compile(
    r"://|-----BEGIN |\bBearer |\b(AKIA|AIza|eyJ)\w{8}|\b(sk|pk|rk|hf|gh[a-z]|github_pat|glpat|xox[a-z])[-_]\w"
)


def load_environment(
    name: str = "dev",
    *,
    folder: Path | None = None,
    variables: Mapping[str, str] | None = None,
    needs: Collection[str] = NEEDS,
) -> Environment:
    """Read environment `name` from `folder` and from those that are shipped; raise ConfigError with every fault.

    Secrets and URLs come from `variables` (None: those of the process). Those of `store` and of `models` have to be
    set where `needs` names them.
    """
    merged = merge(name, folder)
    loading = _Loading(merged, os.environ if variables is None else variables, needs)
    made = loading.environment(name) if merged.data else None
    faults = list(dict.fromkeys([*merged.faults, *loading.faults]))
    if faults or made is None:
        raise ConfigError("\n".join(faults), faults=faults)
    return made


class _Loading:
    def __init__(self, merged: Merged, variables: Mapping[str, str], needs: Collection[str]) -> None:
        self._merged = merged
        self._variables = variables
        self._needs = needs
        self.faults: list[str] = []

    def environment(self, name: str) -> Environment | None:
        """Return the environment, or None where a fault made that impossible; then there are faults."""
        literal = {place for place, value in _strings(self._merged.data, ()) if _LITERAL.search(value)}
        for place in literal:
            self._literal(place)
        rollout = self._rollouts(
            self._merged.data.get("rollout"), {place[1] for place in literal if place[0] == "rollout"}
        )
        try:
            read = Document.model_validate(self._merged.data)
        except ValidationError as error:
            for item in error.errors(include_url=False):
                self._problem(item, literal)
            self._look_for_variables(self._merged.data)
            return None
        limits = Limits(**read.limits.model_dump())
        if limits.lease_s < limits.step_s:
            said = f"{limits.lease_s:g} is less than limits.step_s ({limits.step_s:g}); a lease has to outlast a step"
            self._fault(("limits", "lease_s"), said)
        store = self._value(EnvPart(env=read.store.env), ("store",), read.store.default)
        return Environment(
            name=name,
            limits=limits,
            retry=Retry(attempts=limits.attempts, base_s=read.retry.base_s, cap_s=read.retry.cap_s),
            breaker=BreakerSettings(**read.breaker.model_dump()),
            models=tuple(self._model(part, ("models", index)) for index, part in enumerate(read.models)),
            store=store,
            worker=WorkerSettings(**read.worker.model_dump()),
            approval_s=read.approval_s,
            rollout=rollout,
            files=tuple(self._merged.files),
            sources={_dotted(place): where for place, where in self._merged.lines.items()},
        )

    def _model(self, part: ModelPart, place: Place) -> ModelSettings:
        plain = part.model_dump(exclude={"api_key", "base_url"})
        key = None if part.api_key is None else self._value(part.api_key, (*place, "api_key"))
        url = None if part.base_url is None else self._value(part.base_url, (*place, "base_url"))
        return ModelSettings(**plain, api_key=key, base_url=url)

    def _value(self, part: EnvPart, place: Place, default: str | None = None) -> Reference:
        value = self._variables.get(part.env) or default
        if value is None and not part.optional and place[0] in self._needs:
            self._unset(place, part.env)
        return Reference(part.env, value)

    def _rollouts(self, given: object, refused: Collection[object]) -> dict[str, Rollout]:
        made = {}
        for name, value in given.items() if isinstance(given, Mapping) else ():
            if name in refused:
                continue
            try:
                made[name] = Rollout.of(value)
            except DefinitionError as error:
                self._fault(("rollout", name), str(error).removeprefix("rollout: "))
        return made

    def _look_for_variables(self, data: Mapping[str, Any]) -> None:
        """Name the variables that are missing also where something else is wrong, so that one look is enough."""
        for place, value in _strings(data, ()):
            above: Any = data
            for part in place[:-1]:
                above = above[part]
            if place[-1] != "env" or place[0] not in self._needs or above.get("optional") or above.get("default"):
                continue
            if re.fullmatch(r"\w+", value) and not self._variables.get(value):
                self._unset(place[:-1], value)

    def _unset(self, place: Place, env: str) -> None:
        self._fault(place, f"the environment variable {env} is not set; set it where this process is started")

    def _literal(self, place: Place) -> None:
        name = next((str(part) for part in reversed(place) if part in _REFERENCES), "")
        edit = f"{name or 'api_key'}: {{env: {_REFERENCES.get(name, 'OPENAI_API_KEY')}}}"
        said = "a secret or a URL is written out here; put it into a variable of the process environment and write"
        self._fault(place, f"{said} `{edit}`")

    def _problem(self, item: Any, literal: set[Place]) -> None:
        place = tuple(part for part in item["loc"] if not isinstance(part, str) or part.isidentifier() or "." in part)
        last = place[-1] if place else ""
        if place in literal:
            return
        if item["type"] == "extra_forbidden":
            self._fault(place, f"unknown key.{did_you_mean(str(last), _keys(Document, place[:-1]))}")
        elif item["type"] == "missing":
            self._fault(place, "it is missing; add it, or extend an environment that has it, such as base")
        elif last in _REFERENCES and isinstance(item["input"], str):
            self._literal(place)
        elif any(part in _REFERENCES for part in place):
            self._fault(
                place, f"{_lower(item['msg'])}, such as {{env: {_REFERENCES.get(str(last), 'OPENAI_API_KEY')}}}"
            )
        else:
            self._fault(place, f"{_lower(item['msg'])}, found {_short(item['input'])}")

    def _fault(self, place: Place, message: str) -> None:
        self.faults.append(f"{self._merged.where(place)} {_dotted(place)}: {message}")


def _strings(value: Any, place: Place) -> Iterator[tuple[Place, str]]:
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _strings(inner, (*place, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _strings(inner, (*place, index))


def _keys(annotation: Any, place: Place) -> set[str]:
    """Return the keys that the schema knows at a place."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not place:
            return set(annotation.model_fields)
        found = annotation.model_fields.get(str(place[0]))
        return _keys(found.annotation, place[1:]) if found else set()
    if get_origin(annotation) is list:
        return _keys(get_args(annotation)[0], place[1:])
    if get_origin(annotation) in {Union, UnionType}:
        return set().union(*(_keys(part, place) for part in get_args(annotation)))
    return set()


def _dotted(place: Place) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
