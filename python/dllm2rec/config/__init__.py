"""The settings of a training: what they are, where they come from, what is said of a wrong one."""
