"""Text without what differs from one process or machine to the next, so that one seed gives one result."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

_LIBRARIES = r"(?<![:/\w.])(?:/[^\s:'\"]+)?/(?=site-packages/|lib/python\d)"
_OURS = f"{Path(__file__).resolve().parents[2]}/"
"""Where this package itself is, for one that is installed from a checkout."""
_ALWAYS = (
    (re.compile(r"\b0x[0-9a-fA-F]{6,}\b"), "0x…"),
    (re.compile(r"\b(Task|Thread|ThreadPoolExecutor|asyncio|AnyIO worker thread)-\d+(_\d+)?"), r"\1"),
    (re.compile(r"\b(localhost|127\.0\.0\.1|\[?::1\]?):\d{2,5}\b"), r"\1:PORT"),
    (re.compile(r"\b(pid[ =:]+)\d+"), r"\1N"),
)


def canonical(value: Any, root: Path, temporary: Path | None = None) -> Any:
    """JSON data with paths relative to `root`, and no address, temporary folder, port, number of a task or thread.

    `temporary` is where this session's `tmp_path` folders are, if it has any.
    """
    if isinstance(value, str):
        return _text(value, root, temporary)
    if isinstance(value, dict):
        return {key: canonical(inner, root, temporary) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [canonical(inner, root, temporary) for inner in value]
    return value


def _text(text: str, root: Path, temporary: Path | None) -> str:
    for pattern, replacement in _ALWAYS:
        text = pattern.sub(replacement, text)
    if "/" not in text:
        return text
    text = re.sub(_LIBRARIES, "", text).replace(_OURS, "")
    if temporary is not None:
        text = _without(text, str(temporary), "TMP")
    text = text.replace(f"{root}/", "").replace(str(root), ".")
    for folder in {tempfile.gettempdir(), str(Path(tempfile.gettempdir()).resolve())}:
        text = _without(text, folder, "TMP")
    return _without(text, str(Path.home()), "HOME")


def _without(text: str, folder: str, name: str) -> str:
    return re.sub(rf"{re.escape(folder)}/[^\s:'\",)]*", name, text)
