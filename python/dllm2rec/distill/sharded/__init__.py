"""The loss over a table of which every process holds a part."""
