"""Talk to models: one stream of values, three wire formats, one client."""
