"""From a trained student to recommendations under the names of the user's own data."""
