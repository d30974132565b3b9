"""The guard alone: what it refuses and what it lets be, while the webhook is not there."""
