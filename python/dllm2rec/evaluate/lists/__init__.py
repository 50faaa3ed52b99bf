"""Ranked lists of any system: files and frames of them, and what they score."""
