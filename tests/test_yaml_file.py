"""YAML that is hostile, wrong or merely unusual: read as meant, or refused with file, line and edit."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from pytest_agent.errors import UsageError
from pytest_agent.yaml_file import MAX_BYTES, parse_yaml, read_yaml


def read(text):
    from pathlib import Path

    return parse_yaml(text, Path("x.yaml"), "x.yaml")


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("a: 1\r\nb: [x, {c: 2}]\r\n", {"a": 1, "b": ["x", {"c": 2}]}),
        ("\ufeffa: 1", {"a": 1}),
        (
            "a: 2026-01-01\nb: 2026-01-01T00:00:00Z\nc: 12:30:00",
            {"a": "2026-01-01", "b": "2026-01-01T00:00:00Z", "c": "12:30:00"},
        ),
        ("a: yes\nb: off\nno: on", {"a": "yes", "b": "off", "no": "on"}),
        (
            "a: true\nb: null\nc: ~\nd:\ne: 1.5\nf: 1e3\ng: -7\nh: 0x1f\ni: 0o17",
            {"a": True, "b": None, "c": None, "d": None, "e": 1.5, "f": 1000.0, "g": -7, "h": 31, "i": 15},
        ),
        ("a: '1'\nb: \"true\"\nc: |\n  1\n", {"a": "1", "b": "true", "c": "1\n"}),
        ("a: .inf\nb: .nan", {"a": ".inf", "b": ".nan"}),
        ("a: &x [1]", {"a": [1]}),
        ("<<: {a: 1}", {"<<": {"a": 1}}),
        ("a: 9223372036854775807", {"a": 9223372036854775807}),
        ("{}", {}),
    ],
)
def test_what_is_read(text, data):
    assert read(text).data == data


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ":1: expected a mapping of keys to values, found nothing"),
        ("# only a comment\n", ":1: expected a mapping of keys to values, found nothing"),
        ("- a\n- b", ":1: expected a mapping of keys to values, found a sequence"),
        ("just text", ":1: expected a mapping of keys to values, found a scalar"),
        ("a: 1\nb: \x00", ":2: not valid YAML: unacceptable character #x0000"),
        ("a: &x [1]\nb: *x", ":2: alias *x is not read here; write the value out"),
        ("a: " + "[" * 10_000, ":1: nested more than 30 levels deep; flatten it"),
        ("a: " + "{a: " * 10_000, ":1: nested more than 30 levels deep; flatten it"),
        ("- " * 10_000 + "a", ":1: nested more than 30 levels deep; flatten it"),
        ("\n".join(" " * i + "a:" for i in range(200)), ":31: nested more than 30 levels deep; flatten it"),
        ("? " * 10_000, ":1: nested more than 30 levels deep; flatten it"),
        ("a: [" + "1," * 300_000 + "]", ":1: more than 20,000 values in one file; split it"),
        (
            "a: 1\nb: !!python/object/apply:os.system [ls]",
            ":2: tag !!python/object/apply:os.system is not read here; remove it",
        ),
        ("a: !!python/name:os.system", ":1: tag !!python/name:os.system is not read here"),
        ("a: !!int ''", ":1: tag !!int is not read here"),
        ("a: !!bool maybe", ":1: tag !!bool is not read here"),
        ("a: !!timestamp soon", ":1: tag !!timestamp is not read here"),
        ("!mine {a: 1}", ":1: tag !mine is not read here"),
        ("a: 1\nb: 2\na: 3", ":3: key 'a' is given twice; keep one"),
        ("a: {b: 1,\n  b: 2}", ":2: key 'b' is given twice; keep one"),
        ("1: a", ":1: a key must be text, found 1; put it in quotes"),
        ("true: a", ":1: a key must be text, found True; put it in quotes"),
        ("a: {~: b}", ":1: a key must be text, found None; put it in quotes"),
        ("? [a, b]\n: c", ":1: a key must be text, found a sequence; write a plain name"),
        ("a: " + "9" * 5_000, ":1: the number 99999999999999999999… is out of range"),
        ("a: 0x" + "f" * 5_000, ":1: the number 0xffffffffffffffffff… is out of range"),
        ("a: 9223372036854775808", ":1: the number 9223372036854775808… is out of range"),
        ("a: 1e999", ":1: the number 1e999 is out of range"),
        ('a: 1\nb: "\\UFFFFFFFF"', ":2: not valid YAML: an escape that stands for no character"),
        ('a: "\\ud800"', ":1: half of a surrogate pair is no character"),
        ("a: 1\n---\nb: 2", ":2: not valid YAML: expected a single document in the stream but found another document"),
        ("a: [1,\n\t2", ":2: not valid YAML: "),
        ("a: b: c", ":1: not valid YAML: mapping values are not allowed here"),
        ("%YAML 3.0\n---\na: 1", ":1: not valid YAML: found incompatible YAML document"),
    ],
)
def test_what_is_refused(text, said):
    with pytest.raises(UsageError) as caught:
        read(text)
    assert str(caught.value).startswith(f"x.yaml{said}")
    assert len(str(caught.value)) < 300


def test_the_bomb_of_a_billion_laughs():
    lines = ["a0: &a0 [lol, lol, lol]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    with pytest.raises(UsageError, match=r"x.yaml:2: alias"):
        read("\n".join(lines))


@given(st.text(max_size=60) | st.text(alphabet="ab:-[]{}&*!|>'\"%@`#,?\n \t\\x0u~<=.", max_size=60))
def test_any_text_is_read_or_refused_and_never_a_traceback(text):
    try:
        data = read(text).data
    except UsageError as error:
        assert re.match(r"x\.yaml:\d+: ", str(error))  # noqa: PT017 - either is fine
    else:
        assert isinstance(data, dict)


def test_a_file_of_50_megabytes_is_not_read(tmp_path):
    path = tmp_path / "big.yaml"
    with path.open("wb") as file:
        file.truncate(50_000_000)
    with pytest.raises(UsageError, match=r"big.yaml: the file has more than 1,000,000 bytes"):
        read_yaml(path)


def test_a_file_without_an_end_is_not_read_to_its_end():
    from pathlib import Path

    with pytest.raises(UsageError, match=f"more than {MAX_BYTES:,} bytes"):
        read_yaml(Path("/dev/zero"))


def test_bytes_that_are_no_utf8(tmp_path):
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"a: 1\nb: caf\xe9\n")
    with pytest.raises(UsageError, match=r"latin.yaml:2: byte 11 is not UTF-8; save the file as UTF-8"):
        read_yaml(path)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        read_yaml(tmp_path)


class Leaf(BaseModel):
    model_config = ConfigDict(extra="forbid")
    amount: int
    name: str | int = "x"


class Tree(BaseModel):
    model_config = ConfigDict(extra="forbid")
    title: str
    leaves: list[Leaf] = Field(default_factory=list)
    by_name: dict[str, Leaf] = Field(default_factory=dict)
    maybe: Leaf | None = None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "title: a\nleaves:\n  - amount: 1\n  - amuont: 2",
            [
                "x.yaml:4 leaves[1]: key 'amount' is missing; add it",
                "x.yaml:4 leaves[1].amuont: unknown key 'amuont'. Did you mean 'amount'? Known: amount, name.",
            ],
        ),
        (
            "title: a\nby_name:\n  oak:\n    amount: 1\n    hight: 2",
            ["x.yaml:5 by_name.oak.hight: unknown key 'hight'. Known: amount, name."],
        ),
        (
            "title: a\nmaybe:\n  amount: many",
            ["x.yaml:3 maybe.amount: expected a whole number, found 'many'; change it"],
        ),
        (
            "title: a\nmaybe: {amount: 1, naem: b}",
            ["x.yaml:2 maybe.naem: unknown key 'naem'. Did you mean 'name'? Known: amount, name."],
        ),
        (
            "titel: a",
            [
                "x.yaml:1 key 'title' is missing; add it",
                "x.yaml:1 titel: unknown key 'titel'. Did you mean 'title'? Known: by_name, leaves, maybe, title.",
            ],
        ),
        (
            "title: a\nleaves: [{amount: 1, name: [1]}]",
            [
                "x.yaml:2 leaves[0].name: expected text, found [1]; change it",
                "x.yaml:2 leaves[0].name: expected a whole number, found [1]; change it",
            ],
        ),
    ],
)
def test_data_that_does_not_fit_its_model(text, said):
    with pytest.raises(UsageError) as caught:
        read(text).validate(Tree)
    assert str(caught.value).splitlines() == said


def test_a_value_found_is_shown_at_a_bearable_length():
    with pytest.raises(UsageError) as caught:
        read(f"title: [{'x' * 100_000}]").validate(Tree)
    assert len(str(caught.value)) < 400
