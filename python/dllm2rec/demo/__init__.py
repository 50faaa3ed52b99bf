"""The synthetic demo data."""
