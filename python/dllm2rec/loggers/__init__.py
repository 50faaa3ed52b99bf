"""A run kept by the tracker of one's choice, beside the files that it always writes."""
