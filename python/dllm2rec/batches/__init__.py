"""From a dataset and a teacher to the batches of each epoch."""
