"""The rules: pure functions of values. No event loop, clock, randomness, logging or I/O."""
