"""Octavo: a coding agent and a sandbox, as a library. Names load on first use."""
