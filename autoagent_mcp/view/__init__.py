"""Serves the page live while a night goes on: to who knows its address, on this machine alone, and only to be read."""
