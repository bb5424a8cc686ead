"""The version, as a literal: reading it from package metadata costs 60 ms."""

__version__ = "0.1.0"
