"""Score and vector files of any model, read in blocks of rows, and the targets that they rank."""
