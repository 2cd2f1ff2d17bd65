"""Rolling origin: one training repeated at several cuts of the same log, and what its runs say together."""
