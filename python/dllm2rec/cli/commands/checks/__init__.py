"""Commands that look again: at a run, whether it comes out the same, and at a dataset."""
