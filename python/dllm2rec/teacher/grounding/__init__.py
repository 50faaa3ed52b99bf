"""Titles as a language model wrote them, brought to the items of a catalogue."""
