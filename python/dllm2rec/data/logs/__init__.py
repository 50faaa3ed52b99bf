"""From log files to interactions."""
