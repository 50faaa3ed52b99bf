"""The paper's table made again: its students, ablations and baselines, controls, the default."""
