"""What a run will take, told before it: parameters, memory, disk and time."""
