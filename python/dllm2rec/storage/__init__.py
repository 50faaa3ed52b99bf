"""Writing to disk so that what is there is whole."""
