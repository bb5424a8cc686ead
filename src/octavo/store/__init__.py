"""Threads on disk: rollouts, their index, large outputs."""
