"""Run a test clean, list the places where something can break, break each, and judge what the agent did."""
