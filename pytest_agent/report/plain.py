"""A failure that is told in a few lines of its own."""

from __future__ import annotations

from _pytest._code.code import ReprFileLocation, TerminalRepr
from _pytest._io import TerminalWriter


class PlainFailure(TerminalRepr):
    """A text in the place of a traceback, with what pytest's short summary asks for."""

    def __init__(self, text: str, location: tuple[str, int | None, str]) -> None:
        path, line, _ = location
        self.text = text
        self.reprcrash = ReprFileLocation(path, (line or 0) + 1, text)

    def __str__(self) -> str:
        return self.text

    def toterminal(self, tw: TerminalWriter) -> None:
        """Print the text, the first line as an error."""
        first, _, rest = self.text.partition("\n")
        tw.line(first, red=True, bold=True)
        if rest:
            tw.line(rest)
