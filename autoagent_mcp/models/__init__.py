"""The values that cross borders."""
