"""Error beside time beside steps, ours beside the peers, in one run."""
