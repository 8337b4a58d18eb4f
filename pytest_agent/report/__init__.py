"""Results for people: what is printed, written and annotated. Reads results only."""
