"""The settings of a training: what they are, where they come from, how errors are reported."""
