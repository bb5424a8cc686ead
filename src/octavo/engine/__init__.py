"""The agent: threads, turns, and what goes into a request. One engine for every door."""
