"""The backend that needs no daemon: Linux namespaces, made by bubblewrap."""
