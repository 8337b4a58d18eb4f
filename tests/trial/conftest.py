"""A folder with an agent in it, and the command `pytest-agent try` there."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pytest_agent.cli.main import main

CHAT = """
import json
from openai import OpenAI

client = OpenAI(api_key="test", max_retries=0)

def tool(name, **properties):
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}

def chat(messages, tools):
    given = {"tools": tools} if tools else {}
    return client.chat.completions.create(model="gpt-5", messages=messages, **given).choices[0].message

def loop(task, tools, run):
    messages = [{"role": "user", "content": task}]
    while True:
        message = chat(messages, tools)
        if not message.tool_calls:
            return message.content
        messages.append(message.model_dump(exclude_none=True))
        for call in message.tool_calls:
            try:
                result = run(call.function.name, json.loads(call.function.arguments))
            except OSError as error:
                result = f"error: {error}"
            messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps(result)})
"""
"""What the agents of these tests are made of: a loop on the bare client of openai."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """`folder("shop", code)` writes shop.py, after `CHAT`, into the current folder."""
    monkeypatch.chdir(tmp_path)

    def write(name, code):
        (tmp_path / f"{name}.py").write_text(CHAT + code)
        return tmp_path

    return write


@pytest.fixture
def tried(folder, monkeypatch, capfd):
    """`tried("shop:agent", "the task", ...)`: in this process, what was printed and the exit code."""
    del folder
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)
    monkeypatch.setenv("COLUMNS", "120")

    def run(*words):
        importlib.invalidate_caches()
        known = set(sys.modules)
        capfd.readouterr()
        try:
            code = main(["try", *words])
        finally:
            for name in set(sys.modules) - known:
                if Path(getattr(sys.modules[name], "__file__", None) or "").parent == Path.cwd():
                    del sys.modules[name]
        out, err = capfd.readouterr()
        return SimpleNamespace(code=code, out=out, err=err)

    return run


@pytest.fixture
def command(folder):
    """The same in a process of its own, with no environment but the least."""
    del folder

    def run(words, **environment):
        done = subprocess.run(
            [sys.executable, "-m", "pytest_agent.cli.main", *words],
            env={"PATH": os.environ["PATH"], "COLUMNS": "120", **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return SimpleNamespace(code=done.returncode, out=done.stdout, err=done.stderr)

    return run
