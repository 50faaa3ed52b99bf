"""The evaluation protocol: which events count, and who tests what."""
