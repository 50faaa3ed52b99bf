"""Commands that set figures side by side."""
