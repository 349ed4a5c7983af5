"""The command line."""


def main() -> None:
    """Serve over stdio."""
