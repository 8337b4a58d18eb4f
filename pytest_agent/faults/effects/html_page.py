"""A proxy answers with a page for people instead of the provider with JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Self

from pydantic import Field

from pytest_agent.faults.effect import Facts, LlmEffect
from pytest_agent.llm.reply import Chunk, Reply
from pytest_agent.llm.request import ModelRequest

_PAGE = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
    b"<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n"
)


class HtmlPage(LlmEffect):
    """`status` with `text/html`, and no JSON anywhere."""

    name: ClassVar[str] = "html-page"
    status: int = Field(default=502, ge=200, lt=600)

    def variants(self, facts: Facts, sweep: Iterable[str]) -> Iterable[Self]:
        """Applies to every request."""
        del facts, sweep
        return [self]

    def answer(self, request: ModelRequest) -> Reply:
        """The page."""
        del request
        headers = (("content-type", "text/html"), ("server", "cloudflare"))
        return Reply(self.status, headers, (Chunk(_PAGE),), error_code="html_page", meant=False)
