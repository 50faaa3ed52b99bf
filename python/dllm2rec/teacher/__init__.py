"""What a large language model said, in one checked form."""
