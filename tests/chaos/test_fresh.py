"""A fresh process that replays a failure reads the configuration that its session has found by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def test_a_scenario_is_found_again_where_nobody_has_named_the_configuration(
    project: pytest.Pytester, results: Callable[[], dict[str, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = Path(__file__).parents[2] / "scenarios" / "support_refund.yaml"
    deep = project.path / "deep"
    deep.mkdir()
    (deep / "one.yaml").write_text(
        shipped.read_text().replace("idempotent: true", "idempotent: false") + "faults: [reply-lost]\n"
    )
    (project.path / "pytest.ini").write_text("[pytest]\nmarkers = xdist_group\nagent_scenarios = deep\n")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    project.runpytest_subprocess("-p", "pytest_agent.plugin", "--chaos", "deep").assert_outcomes(failed=1)
    (failure, *_) = results()["one"]["failures"]
    assert failure["confirmed"]["failed"] == 3
