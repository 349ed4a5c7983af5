"""The morning's page: what happened in a workspace, written as files that a browser opens without a server."""
