"""The reliability battery: trials in numbers, each of a promise (`make battery`)."""
