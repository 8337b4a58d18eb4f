"""Prompts as versioned files: found by name and version, known by their hash, refused with all that is wrong."""

import pytest

from agentfsm.agents import business_account, support_refund
from agentfsm.errors import DefinitionError
from agentfsm.prompts import MOST_BYTES, Prompt, load_prompts


def test_each_version_is_a_file_of_its_own(tmp_path):
    (tmp_path / "refund.v1.md").write_text("Refund.\n")
    (tmp_path / "refund.v2.md").write_text("Refund it.\n")
    found = load_prompts(tmp_path)
    assert found["refund", 2] == Prompt("refund", 2, "Refund it.")
    assert found["refund", 1].label != found["refund", 2].label
    assert found["refund", 1].label.startswith("refund@1:")


def test_another_text_has_another_hash():
    assert Prompt("a", 1, "x").label != Prompt("a", 1, "y").label


def test_everything_that_is_wrong_is_said_at_once(tmp_path):
    (tmp_path / "refund.md").write_text("no version")
    (tmp_path / "empty.v1.md").write_text("\n")
    (tmp_path / "binary.v1.md").write_bytes(b"\xff\xfe")
    with pytest.raises(DefinitionError) as raised:
        load_prompts(tmp_path)
    assert all(name in str(raised.value) for name in ("refund.md", "empty.v1.md", "binary.v1.md"))


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DefinitionError, match="no such folder"):
        load_prompts(tmp_path / "prompts")


@pytest.mark.parametrize("agent", [support_refund, business_account])
def test_the_shipped_agents_speak_from_files(agent):
    assert agent.WORKFLOW.main_prompt == agent.PROMPT
    assert agent.PROMPT.text == agent.WORKFLOW.instructions


def test_how_an_editor_ends_lines_and_marks_texts_changes_nothing(tmp_path):
    (tmp_path / "a.v1.md").write_bytes(b"one\ntwo\n")
    (tmp_path / "b.v1.md").write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n")
    found = load_prompts(tmp_path)
    assert found["a", 1].text == found["b", 1].text == "one\ntwo"


def test_a_text_that_is_too_long_is_not_read(tmp_path):
    (tmp_path / "long.v1.md").write_text("é" * MOST_BYTES)
    (tmp_path / "right.v1.md").write_text("x" * MOST_BYTES)
    with pytest.raises(DefinitionError, match=r"long\.v1\.md: more than 200,000 bytes") as raised:
        load_prompts(tmp_path)
    assert "right" not in str(raised.value)
