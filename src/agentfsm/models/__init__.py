"""Clients of model providers behind the Model port."""
