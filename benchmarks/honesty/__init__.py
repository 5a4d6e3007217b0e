"""Does cellsim know what it does not know? Calibration of its posteriors on synthetic patients; see docs/honesty.md."""
