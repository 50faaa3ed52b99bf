"""The commands: the one room that prints or exits."""
