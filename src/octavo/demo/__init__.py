"""A recorded session on a small real project: what the agent looks like, without a model."""
