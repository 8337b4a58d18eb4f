"""Prices: known ones are exact, unknown ones are unknown, and a bad list says all that is wrong with it."""

import subprocess
import sys

import pytest

from agentfsm.errors import DefinitionError
from agentfsm.prices import cost_usd, load_prices
from agentfsm.turns import Usage

USAGE = Usage(input_tokens=1_000_000, output_tokens=100_000)


def test_a_known_model_costs_what_the_list_says():
    assert cost_usd("openai/gpt-5", USAGE) == pytest.approx(1.25 + 1.0)


@pytest.mark.parametrize("name", ["openai/gpt-5-2025-08-07", "anthropic/claude-opus-4-5-20251101"])
def test_a_dated_name_has_the_price_of_its_family(name):
    assert cost_usd(name, USAGE) is not None


@pytest.mark.parametrize("name", ["openai/gpt-99", "local/llama", "", "gpt-5", "openai/gpt-5-turbo"])
def test_an_unknown_model_has_an_unknown_price_and_never_zero(name):
    assert cost_usd(name, USAGE) is None


def test_a_list_of_ones_own_replaces_the_shipped_one():
    price = load_prices({"local/llama": {"input": 0, "output": 2}})
    assert (price("local/llama", USAGE), price("openai/gpt-5", USAGE)) == (pytest.approx(0.2), None)


def test_everything_that_is_wrong_is_said_at_once():
    bad = {"a": {"input": -1, "output": 1}, "b": {"input": True, "output": 1}, "c": 3, "d": {"input": 1}}
    with pytest.raises(DefinitionError) as raised:
        load_prices(bad)
    assert all(f"{name}: expected" in str(raised.value) for name in "abcd")


@pytest.mark.parametrize("text", ["", "[]", "models: 3", "{", "models: {a: !!python/name:os.system }", "\udc80"])
def test_a_file_that_is_no_list_of_prices_is_refused(tmp_path, text):
    path = tmp_path / "prices.yaml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DefinitionError, match=r"prices\.yaml"):
        load_prices(path)


def test_cached_input_has_its_own_price_where_there_is_one():
    usage = Usage(input_tokens=1_000_000, output_tokens=0, cached_tokens=400_000)
    price = load_prices({"a": {"input": 10, "cached": 1, "output": 0}, "b": {"input": 10, "output": 0}})
    assert (price("a", usage), price("b", usage)) == (pytest.approx(6.4), pytest.approx(10))
    assert price("a", usage.model_copy(update={"cached_tokens": 9_000_000})) == pytest.approx(1)


def test_a_long_request_has_the_long_price_as_a_whole():
    short, long = (Usage(input_tokens=n, output_tokens=1_000) for n in (100_000, 100_001))
    name = "anthropic/claude-haiku-5-5"
    assert cost_usd(name, short) == pytest.approx(100_000 * 0.1e-6 + 1_000 * 0.5e-6)
    assert cost_usd(name, long) == pytest.approx(100_001 * 0.5e-6 + 1_000 * 2.5e-6)


@pytest.mark.parametrize(
    "entry",
    [
        {"input": 1, "output": 1, "long": {"input": 1, "output": 1}},
        {"input": 1, "output": 1, "long": {"above": 9, "input": 1, "output": -1}},
        {"input": 1, "output": 1, "long": {"above": 9, "input": 1, "output": 1, "long": {}}},
        {"input": 1, "output": 1, "above": 9},
        {"input": 1, "output": 1, "cashed": 1},
        {"input": float("nan"), "output": 1},
    ],
)
def test_an_entry_that_says_too_little_or_too_much_is_refused(entry):
    with pytest.raises(DefinitionError, match="m: expected"):
        load_prices({"m": entry})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("models:\n  a: &x {input: 1, output: 1}\n  b: *x\n", r"prices\.yaml:3: alias"),
        (
            "models:\n  a: {input: 1, output: 1}\n  a: {input: 9, output: 1}\n",
            r"prices\.yaml:3: key 'a' is given twice",
        ),
        ("models: " + "[" * 10_000, "levels deep"),
    ],
)
def test_a_hostile_file_is_refused_with_its_line(tmp_path, text, said):
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    with pytest.raises(DefinitionError, match=said):
        load_prices(path)


def test_prices_cost_no_import_of_yaml_before_they_are_asked_for():
    code = "import agentfsm.prices, sys; sys.exit('yaml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
