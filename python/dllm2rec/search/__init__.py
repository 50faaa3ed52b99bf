"""Searching settings further than the grids of a recipe: one training per trial, on validation."""
