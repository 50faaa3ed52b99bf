"""Kernels of a GPU without one: interpreted, or compiled and not run."""
