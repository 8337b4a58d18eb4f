"""The search: from "something breaks it" to the fewest faults that break it.

It knows runs and schedules, not pytest.
"""
