"""Agents under test: how one is called, started again after its death, and taken at its word."""
