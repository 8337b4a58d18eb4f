"""Real agents built on the runtime."""
