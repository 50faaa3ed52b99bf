"""The metrics as other libraries count them."""
