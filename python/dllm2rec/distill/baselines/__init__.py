"""Other ways to learn from a teacher, those of the paper's tables: one setting each."""
