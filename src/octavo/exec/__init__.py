"""The headless door: one prompt, to its end; text or JSON lines out, an exit code."""
