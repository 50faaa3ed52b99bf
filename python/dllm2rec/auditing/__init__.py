"""What a dataset is like before anything learns from it: order, branching, repeats, leakage."""
