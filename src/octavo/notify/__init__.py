"""Tells people outside that a turn is over; never waits for them."""
