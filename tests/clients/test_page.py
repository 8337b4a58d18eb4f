"""The table of docs/clients.md is what is run here, in the versions of the lock files."""

import importlib.util
import json
import re
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "clients.md"
LIBRARIES = {
    "test_openai": ["openai"],
    "test_anthropic": ["anthropic"],
    "test_google_genai": ["google-genai"],
    "test_litellm": ["litellm"],
    "test_langchain": ["langchain-openai", "langchain-anthropic"],
    "test_langgraph": ["langgraph", "langchain"],
    "test_pydantic_ai": ["pydantic-ai-slim"],
    "test_openai_agents": ["openai-agents"],
    "test_node": ["openai (Node)", "@anthropic-ai/sdk (Node)"],
}


def versions():
    locked = dict(re.findall(r"^([\w-]+)==(\S+)", (HERE / "clients.lock").read_text(), re.MULTILINE))
    packages = json.loads((HERE / "node" / "package-lock.json").read_text())["packages"]
    of_node = {path.removeprefix("node_modules/"): package.get("version") for path, package in packages.items()}
    return {**locked, **{f"{name} (Node)": version for name, version in of_node.items()}}


def rows():
    version = versions()
    for name, libraries in LIBRARIES.items():
        spec = importlib.util.spec_from_file_location(f"{name}_of_the_page", HERE / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        names = [client.name for client in module.CLIENTS]
        ways = [
            f"{way} (sync, async)" if f"{way}-async" in names else way
            for way in names
            if way.removesuffix("-async") == way or way.removesuffix("-async") not in names
        ]
        places = "llm_server" if name == "test_node" else "in process, llm_server"
        shown = ", ".join(f"{library} {version[library]}" for library in libraries)
        yield f"| {shown} | {', '.join(ways)} | {places} |"


def test_every_family_is_in_the_table():
    assert set(LIBRARIES) == {
        path.stem for path in HERE.glob("test_*.py") if re.search(r"^CLIENTS = ", path.read_text(), re.MULTILINE)
    }


def test_the_table_of_the_page_is_what_is_run():
    found = [line for line in PAGE.read_text().splitlines() if line.startswith("|")][2:]
    assert found == list(rows())
