"""From scores to ranks to metrics, and the baselines every table holds."""
