"""Messages without meaning: requests, notifications and answers over lines."""
