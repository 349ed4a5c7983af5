"""What the caller can ask: unpack, ask once, return a view."""
