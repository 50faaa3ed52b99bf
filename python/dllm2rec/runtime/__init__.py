"""What belongs to the process: its device, its fellow processes, its signals."""
