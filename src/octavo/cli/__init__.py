"""Commands, each loading only its door."""
