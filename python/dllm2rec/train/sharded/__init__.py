"""Training a table of which every process holds a part."""
