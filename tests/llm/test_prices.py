"""Prices: what is known costs what the list says, and what is not known costs None."""

import datetime
from pathlib import Path

import pytest
import yaml

import agentfsm.prices
from agentfsm.turns import Usage as RuntimeUsage
from pytest_agent import Prices, Usage, UsageError
from pytest_agent.llm import prices

USED = Usage(input_tokens=1000, output_tokens=200, cached_tokens=400)


def test_a_known_model_costs_what_the_list_says():
    shipped = Prices.load()
    assert shipped.cost_usd("gpt-5", USED) == pytest.approx((600 * 1.25 + 400 * 0.125 + 200 * 10) / 1e6)
    assert shipped.cost_usd("claude-sonnet-4-5", Usage(1000, 200)) == pytest.approx((1000 * 3 + 200 * 15) / 1e6)
    assert shipped.cost_usd("gemini-2.5-pro", Usage(200_001, 0)) == pytest.approx(200_001 * 2.5 / 1e6)
    assert shipped.cost_usd("gemini-2.5-pro", Usage(200_000, 0)) == pytest.approx(200_000 * 1.25 / 1e6)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("openai/gpt-5", True),
        ("gpt-5-2025-08-07", True),
        ("openai/gpt-5-2025-08-07", True),
        ("claude-sonnet-4-5-20250929", True),
        ("claude-sonnet-4-5@20250929", True),
        ("models/gemini-2.5-pro", True),
        ("gpt-5-unheard-of", False),
        ("gpt-5-2025-08", False),
        ("gpt", False),
        ("azure/gpt-5", False),
        ("", False),
    ],
)
def test_a_dated_name_has_the_price_of_its_family_and_an_unknown_one_none(name, known):
    assert (Prices.load().cost_usd(name, USED) is not None) is known


def test_a_dated_name_with_a_price_of_its_own_keeps_it():
    own = Prices.load().with_overrides({"openai/gpt-5-2025-08-07": {"input": 7, "output": 0}})
    assert own.cost_usd("gpt-5-2025-08-07", Usage(1_000_000, 0)) == 7
    assert own.cost_usd("gpt-5-2026-01-01", Usage(1_000_000, 0)) == 1.25


def test_overrides_win_and_leave_the_rest():
    own = Prices.load().with_overrides({"gpt-5": {"input": 1, "output": 1}, "house/small": {"input": 0, "output": 0}})
    assert own.cost_usd("openai/gpt-5", Usage(1_000_000, 0)) == 1
    assert own.cost_usd("gpt-5", Usage(1_000_000, 0)) == 1
    assert own.cost_usd("house/small", USED) == 0
    assert own.cost_usd("small", USED) == 0
    assert own.cost_usd("gpt-5-mini", USED) == Prices.load().cost_usd("gpt-5-mini", USED)


def test_a_name_that_two_sell_at_different_prices_is_not_known():
    two = Prices.load().with_overrides({"azure/gpt-5": {"input": 9, "output": 9}})
    assert two.cost_usd("gpt-5", USED) is None
    assert two.cost_usd("azure/gpt-5", Usage(1_000_000, 0)) == 9


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"input": 1}, "price of 'm': output"),
        ({"input": -1, "output": 1}, "price of 'm': input: expected 0 or more"),
        ({"input": "1", "output": 1}, "price of 'm': input: expected a number"),
        ({"input": float("nan"), "output": 1}, "price of 'm': input"),
        ({"input": 1, "output": 1, "cache": 1}, "price of 'm': cache"),
    ],
)
def test_what_is_no_price_is_refused(given, problem):
    with pytest.raises(UsageError, match=problem):
        Prices.load().with_overrides({"m": given})


def test_a_file_that_is_wrong_is_told_with_its_line(tmp_path):
    path = tmp_path / "prices.yaml"
    path.write_text("unit: USD per million tokens\nmodels:\n  openai/x: {input: 1, outptu: 2}\n")
    with pytest.raises(UsageError) as caught:
        Prices.load(path)
    assert f"{path}:3 models.openai/x.outptu: unknown key 'outptu'. Did you mean 'output'" in str(caught.value)
    path.write_text("unit: USD per token\nmodels: {}\n")
    with pytest.raises(UsageError, match=r"prices\.yaml:1 unit: expected 'USD per million tokens'"):
        Prices.load(path)


def test_the_shipped_list_has_a_date_a_unit_and_a_source_for_each_provider():
    data = yaml.safe_load(prices.SHIPPED.read_text())
    assert isinstance(data["as_of"], datetime.date)
    assert data["unit"] == "USD per million tokens"
    assert {name.partition("/")[0] for name in data["models"]} == set(data["sources"])
    assert all(source.startswith("https://") for source in data["sources"].values())
    assert {"openai", "anthropic", "google"} <= set(data["sources"])


@pytest.mark.parametrize("path", [prices.SHIPPED, agentfsm.prices.SHIPPED])
def test_the_lists_of_harness_and_runtime_are_read_by_both_and_agree(path: Path):
    ours, theirs = Prices.load(path), agentfsm.prices.load_prices(path)
    shipped = Prices.load()
    for name in yaml.safe_load(path.read_text())["models"]:
        for tokens in (1000, 300_000):
            cost = ours.cost_usd(name, Usage(tokens, 200, 100))
            assert cost == pytest.approx(
                theirs(name, RuntimeUsage(input_tokens=tokens, output_tokens=200, cached_tokens=100))
            )
            assert cost == shipped.cost_usd(name, Usage(tokens, 200, 100))
