"""macOS: start a command under Seatbelt."""
