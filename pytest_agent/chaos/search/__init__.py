"""The search: which schedules are tried, and how one that fails is made smaller."""
