"""Agents of frameworks: one module each, with `as_agent` and `tools_of`. A framework is imported where it is used."""
