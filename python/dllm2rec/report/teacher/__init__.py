"""The page of a teacher: how good its lists are, where, and beside a student."""
