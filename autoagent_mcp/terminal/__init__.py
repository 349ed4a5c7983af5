"""The facts of the report page in the terminal: `autoagent-mcp status`, `ledger` and `trace`."""
