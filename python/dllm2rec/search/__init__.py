"""Searching settings further than the grids of a recipe: one training a trial, on validation."""
