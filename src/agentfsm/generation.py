"""A generation: one version of a workflow with the tools it was made for. Several run side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agentfsm.errors import DefinitionError
from agentfsm.ports import Model, Tool
from agentfsm.workflow import Workflow


@dataclass(frozen=True)
class Generation:
    """A workflow, its tools by name, and the models it asks in order (empty: those of the runtime).

    Raises DefinitionError where the tools are not exactly those of the workflow, in the version it was made for.
    """

    workflow: Workflow
    tools: Mapping[str, Tool]
    models: tuple[Model, ...] = ()

    def __post_init__(self) -> None:
        name = self.workflow.name
        wanted = {contract.name: contract.version for contract in self.workflow.contracts}
        if wanted.keys() != self.tools.keys():
            raise DefinitionError(f"workflow {name!r} needs tools {sorted(wanted)}, got {sorted(self.tools)}")
        for tool, version in wanted.items():
            found = self.tools[tool].contract.version
            if found != version:
                said = f"workflow {self.workflow.label} was made for {tool}@{version} and got {tool}@{found}"
                raise DefinitionError(f"{said}; give the older generation its older tool")
