"""Stores: durable state behind the Store port."""

from agentfsm.ports import Store


def open_store(url: str) -> Store:
    """Stand-in."""
    from agentfsm.store.sqlite import SQLiteStore

    return SQLiteStore(url.removeprefix("sqlite:///"))
