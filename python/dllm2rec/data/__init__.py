"""From files to a dataset of rows that can be trusted."""
