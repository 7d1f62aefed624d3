"""A plan's promises, tried in simulation: what to try, the trials, the verdicts."""
