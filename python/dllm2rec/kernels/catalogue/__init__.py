"""The loss over the whole catalogue on a GPU."""
