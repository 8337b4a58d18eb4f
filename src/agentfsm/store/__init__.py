"""Stores: durable state behind the Store port."""

from agentfsm.store.migrating import migrate, schema_state
from agentfsm.store.schema import Schema, SchemaState
from agentfsm.store.urls import open_store

__all__ = ["Schema", "SchemaState", "migrate", "open_store", "schema_state"]
