"""tmp"""

from typing import Any


def check_answer(*a: Any) -> Any:
    return None
