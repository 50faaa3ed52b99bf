"""A run as one page: what its folder holds, read, drawn and written as HTML."""
