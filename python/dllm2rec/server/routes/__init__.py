"""What answers at each path."""
