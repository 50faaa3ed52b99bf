"""Text files: found, opened, decoded, split and parsed."""
