"""The small sequential models, one signature."""
