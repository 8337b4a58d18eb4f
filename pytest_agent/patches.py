"""Replace attributes and give them back exactly; do the same to a library at the moment it is imported.

A library that nobody has imported is not imported for our sake.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_ABSENT = object()

Prepare = Callable[[ModuleType], None]


class Patches:
    """Attributes of classes and modules, replaced until `undo`."""

    def __init__(self) -> None:
        self._undo: list[tuple[Any, str, Any]] = []

    def put(self, owner: Any, name: str, replacement: object) -> None:
        """Replace `owner.name`. What was inherited is inherited again afterwards, and not given back as its own."""
        self._undo.append((owner, name, vars(owner).get(name, _ABSENT)))
        setattr(owner, name, replacement)

    def undo(self) -> None:
        """Restore everything, the last first."""
        while self._undo:
            owner, name, original = self._undo.pop()
            if original is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, original)


class OnImport(MetaPathFinder):
    """Prepares libraries, those that are loaded at once and the others when somebody imports them.

    `install` and `uninstall` are a pair. The import itself is left to the finders that are there anyway.
    """

    def __init__(self, prepare: Mapping[str, Prepare]) -> None:
        self._prepare = prepare
        self._prepared: list[ModuleType] = []
        self._asking: set[str] = set()

    def install(self) -> None:
        """Prepare what is loaded, and watch for the rest."""
        sys.meta_path.insert(0, self)
        for name in self._prepare:
            module = sys.modules.get(name)
            if module is not None:
                self.loaded(name, module)

    def uninstall(self) -> None:
        """Watch no more. What `prepare` has done is its own to undo."""
        sys.meta_path.remove(self)
        self._prepared.clear()

    def loaded(self, name: str, module: ModuleType) -> None:
        """Prepare it, once: one library may be known by two names."""
        if self in sys.meta_path and all(module is not other for other in self._prepared):
            self._prepared.append(module)
            self._prepare[name](module)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the others find, with a loader that tells us."""
        del path, target
        if fullname not in self._prepare or fullname in self._asking:
            return None
        self._asking.add(fullname)
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._asking.discard(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Telling(spec.loader, self)
        return spec


class _Telling(Loader):
    """The library's own loader, which is given back to it before it runs."""

    def __init__(self, loader: Loader, told: OnImport) -> None:
        self._loader = loader
        self._told = told

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._told.loaded(module.__name__, module)
