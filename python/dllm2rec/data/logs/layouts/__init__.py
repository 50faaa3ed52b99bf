"""Which layout files are in, and where its log and titles are."""
