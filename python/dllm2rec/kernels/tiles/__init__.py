"""The loss over very large catalogues on a GPU: tiles of scores that never leave the chip."""
