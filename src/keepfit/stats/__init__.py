"""Pure arithmetic on arrays: metrics that can be resampled, intervals, tests and gates. No I/O, no frames, no state."""
