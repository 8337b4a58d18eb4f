"""The `pytest-agent` command."""
