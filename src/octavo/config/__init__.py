"""Hands: settings."""
