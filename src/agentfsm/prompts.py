"""Prompts as versioned files: which one was used is known of every record."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from agentfsm.errors import DefinitionError

_FILE = re.compile(r"(?P<name>[a-z][a-z0-9_]*)\.v(?P<version>[1-9]\d*)\.md")
MOST_BYTES = 200_000


@dataclass(frozen=True)
class Prompt:
    """One version of one prompt."""

    name: str
    version: int
    text: str

    @cached_property
    def label(self) -> str:
        """Name, version and the first 12 hex digits of the SHA-256 of the text: `refund@2:9f86d081884c`."""
        return f"{self.name}@{self.version}:{hashlib.sha256(self.text.encode()).hexdigest()[:12]}"


def load_prompts(folder: Path) -> Mapping[tuple[str, int], Prompt]:
    """Return the prompts of a folder by name and version: one file each, `name.v1.md`, its text the whole file.

    One line break at the end is the editor's and left out. A version, once used, is never changed: a new text is a new
    file. Raises DefinitionError with everything that is wrong in the folder.
    """
    found: dict[tuple[str, int], Prompt] = {}
    faults = []
    if not folder.is_dir():
        raise DefinitionError(f"{folder}: there is no such folder of prompts")
    for path in sorted(folder.glob("*.md")):
        named = _FILE.fullmatch(path.name)
        if named is None:
            faults.append(f"{path.name}: the name says no version; call it {path.name.partition('.')[0]}.v1.md")
            continue
        try:
            with path.open("rb") as file:
                raw = file.read(MOST_BYTES + 1)
            if len(raw) > MOST_BYTES:
                faults.append(f"{path.name}: more than {MOST_BYTES:,} bytes, which is as much as is read; shorten it")
                continue
            # Editors and checkouts mark texts and end lines in their own ways, and none of it is said to a model.
            text = raw.decode("utf-8-sig").replace("\r\n", "\n").removesuffix("\n")
        except OSError as error:
            faults.append(f"{path.name}: cannot be read: {error.strerror or error}")
            continue
        except UnicodeDecodeError as error:
            faults.append(f"{path.name}: byte {error.start} is not UTF-8; save the file as UTF-8")
            continue
        if not text.strip():
            faults.append(f"{path.name}: there is no text in it; write the prompt or remove the file")
            continue
        prompt = Prompt(named["name"], int(named["version"]), text)
        found[prompt.name, prompt.version] = prompt
    if faults:
        raise DefinitionError(f"{folder}: {'; '.join(faults)}")
    return found
