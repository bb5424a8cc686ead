"""Mind: may it? Decisions from values, never from the disk."""
