"""Nouns: what travels between rooms, frozen, without I/O."""
