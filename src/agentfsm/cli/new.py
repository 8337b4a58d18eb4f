"""`agentfsm new`: write the smallest project that is fit for production."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from agentfsm.cli.context import BadUse, Commands, Context, command

FILES = {
    "README.md": "README.md",
    "pyproject.toml": "pyproject.toml",
    ".gitignore": "gitignore",
    "desk/__init__.py": "init.py",
    "desk/agent.py": "agent.py",
    "desk/tools.py": "tools.py",
    "environments/dev.yaml": "dev.yaml",
    "environments/prod.yaml": "prod.yaml",
    "scenarios/ticket.yaml": "scenario.yaml",
    "tests/test_desk.py": "checks.py",
}
"""What is written, and the template it is made from."""


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = command(commands, "new", act, "write a starter: one workflow, one tool, one scenario, environments, tests")
    parser.add_argument("folder", type=Path, help="where to; it must be new or empty")


async def act(context: Context) -> int:
    """Write it."""
    folder: Path = context.args.folder
    written = write(folder)
    lines = [*(f"wrote {folder / path}" for path in written), f"next: cd {folder}, read README.md, run pytest"]
    context.out.say({"folder": str(folder), "files": written}, lines)
    return 0


def write(folder: Path) -> list[str]:
    """Write all files into a new or empty folder; raise BadUse, and write nothing, where it is neither."""
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise BadUse(f"{folder} is there and not empty; name a new folder, nothing is ever overwritten")
        name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "desk"
        for path, template in FILES.items():
            text = files("agentfsm").joinpath("starter", f"{template}.tmpl").read_text(encoding="utf-8")
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text.replace("@NAME@", name), encoding="utf-8")
    except OSError as error:
        raise BadUse(f"{folder} cannot be written: {error.strerror or error}; name another folder") from None
    return list(FILES)
