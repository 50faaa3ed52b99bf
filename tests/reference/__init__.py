"""Slow, obvious twins of the kernels: the specification that the fast code is held to."""
