"""Scenarios: an agent, what the model says, and what must hold, as a YAML file that is a pytest test."""
