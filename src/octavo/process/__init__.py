"""Hands: children of any kind."""
