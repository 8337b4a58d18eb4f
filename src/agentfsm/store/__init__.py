"""Stores: durable state behind the Store port."""
