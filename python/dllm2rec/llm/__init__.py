"""A teacher made here: by a sentence encoder or a causal language model, or by asking any other."""
