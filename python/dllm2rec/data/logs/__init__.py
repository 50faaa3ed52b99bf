"""From the files people have to interactions."""
