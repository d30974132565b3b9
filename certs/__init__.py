"""Certificates for the webhook: an authority that issues them, and directories that hold them."""
