"""Exports: a folder that answers without torch, written from a trained student and read again."""
