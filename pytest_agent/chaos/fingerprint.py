"""What a search depends on, as one number: what was found under another one says nothing of this."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

from pytest_agent.chaos.mark import ChaosMark
from pytest_agent.chaos.options import SearchOptions
from pytest_agent.chaos.state import test_id
from pytest_agent.faults.catalogue import Catalogue

_OURS = Path(__file__).resolve().parents[1]
_HASHES = pytest.StashKey[dict[tuple[str, int, int], str]]()
_INSTALLED = pytest.StashKey[str]()


def fingerprint(item: pytest.Item, mark: ChaosMark, catalogue: Catalogue) -> str:
    """Of the catalogue, the mark, the seed, the level, the versions of everything installed, and the sources.

    Sources are the test's own file, every module that is loaded now from below pytest's root, and this package; what is
    installed counts by its version. Files that the test only reads are not seen. It is to be asked after the clean run,
    when what the agent needs is loaded.
    """
    options = SearchOptions.of(item.config)
    facts = {
        "test": test_id(item),
        "mark": [mark.faults, mark.must_recover],
        "seed": options.seed,
        "level": options.bounds.level,
        "shard": [options.bounds.shard.number, options.bounds.shard.of],
        "python": [platform.python_version(), sys.executable],
        "installed": _installed(item.config),
        "catalogue": [[named.id, named.entry.model_dump(), named.effect.model_dump()] for named in catalogue],
        "sources": sorted(_hash(item.config, path) for path in _sources(item)),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _sources(item: pytest.Item) -> set[str]:
    root = f"{item.config.rootpath}/"
    apart = f"{sys.prefix}/"
    loaded = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    return {str(item.path)} | {
        path
        for path in loaded
        if isinstance(path, str)
        and path.startswith(root)
        and not path.startswith((apart, f"{_OURS}/"))
        and "/site-packages/" not in path
    }


def _hash(config: pytest.Config, path: str) -> str:
    """The file's name below the root and what is in it; read again only where it has changed."""
    try:
        facts = Path(path).stat()
        key = (path, facts.st_mtime_ns, facts.st_size)
        known = config.stash.setdefault(_HASHES, {})
        if key not in known:
            known[key] = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        return f"{path}: {error.strerror}"
    return f"{path}: {known[key]}"


def _installed(config: pytest.Config) -> str:
    known = config.stash.get(_INSTALLED, None)
    if known is None:
        found = sorted(f"{item.name}=={item.version}" for item in distributions())
        # One that is installed from a checkout changes without its version.
        found += [f"{path}: {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in sorted(_OURS.rglob("*.py"))]
        known = config.stash[_INSTALLED] = hashlib.sha256("\n".join(found).encode()).hexdigest()
    return known
