"""The Windows sandbox with hands: what `octavo.sandbox.windows` decided is carried out here."""
