"""tmp"""

from typing import Any


def cost_usd(*a: Any) -> float | None:
    return None
