"""What a language model answered, in whatever file: ranked lists of ids or titles."""
