"""A process that may die: who keeps it, what serves in it, and how what it left is found."""
