"""Scorers compared on the same rows: by how much, how surely, and at what cost."""
