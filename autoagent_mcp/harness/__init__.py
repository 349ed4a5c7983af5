"""The harness: what may be in it, and the process that lets it try a task."""
