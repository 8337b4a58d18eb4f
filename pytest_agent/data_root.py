"""Where the data folders are: in the wheel, or in the checkout an editable install points to."""

from __future__ import annotations

from pathlib import Path


def data_root(kind: str) -> Path:
    """The shipped folder `faults` or `scenarios`."""
    shipped = Path(__file__).resolve().parent / "_data" / kind
    return shipped if shipped.is_dir() else Path(__file__).resolve().parents[1] / kind
