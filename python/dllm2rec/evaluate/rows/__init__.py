"""What every scorer makes of every row of a split: kept, cut into slices, compared."""
