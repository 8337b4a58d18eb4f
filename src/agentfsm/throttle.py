"""tmp"""

from typing import Any


class NotSent(Exception):
    retry_after_s: float = 0.0


class Throttle:
    def __init__(self, *a: Any) -> None: ...
    def slot(self, d: Any) -> Any: ...
