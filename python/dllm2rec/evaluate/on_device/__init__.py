"""Ranks and lists where the vectors are: by torch in tiles, by kernels on the chip."""
