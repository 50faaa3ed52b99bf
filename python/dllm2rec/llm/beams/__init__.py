"""Beams that stay inside a catalogue of titles."""
