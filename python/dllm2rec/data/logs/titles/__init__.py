"""Files that say what items are called."""
