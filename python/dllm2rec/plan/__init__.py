"""What a run needs, estimated before it: parameters, memory, disk and time."""
