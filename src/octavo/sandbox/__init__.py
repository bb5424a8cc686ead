"""Hands: run one command inside a profile. Usable alone."""
