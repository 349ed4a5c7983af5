"""`python -m autoagent_mcp`."""

from autoagent_mcp.cli import main

if __name__ == "__main__":
    main()
