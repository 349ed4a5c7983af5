"""The one way from a harness to a model and to its task sandbox: pinned, metered, recorded."""
