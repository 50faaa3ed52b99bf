"""A run trained again from its card, and its figures beside those of then."""
