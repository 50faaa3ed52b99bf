"""Datasets on disk, ours and others'."""
