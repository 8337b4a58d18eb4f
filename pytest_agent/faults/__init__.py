"""What can go wrong: the model of a fault, where it strikes, and the catalogue of the known ones."""
