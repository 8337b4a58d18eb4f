"""Prices: known ones are exact, unknown ones are unknown, and a bad list says all that is wrong with it."""

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
