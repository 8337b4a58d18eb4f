"""`pytest-agent try`: the search on an agent for which nobody has written a test."""
