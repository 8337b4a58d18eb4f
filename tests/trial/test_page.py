"""What docs/adapters.md shows of `pytest-agent try` is what is printed."""

import re
import shlex
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "adapters.md").read_text()


def block(language):
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return found


def test_the_command_prints_what_the_page_shows_and_its_line_replays_it(folder, command):
    del folder
    Path("shop.py").write_text(block("py"))
    (line,) = block("console").splitlines()
    found = command(shlex.split(line)[2:])
    assert (found.code, found.err) == (1, "")
    for part in block("out").split("…\n"):
        assert part.strip("\n") in found.out

    replay = block("out").rpartition("replay: ")[2]
    again = command(shlex.split(replay)[1:])
    assert again.code == 1
    assert "I1 no duplicate effect: refund(order=85) committed twice" in again.out
