"""The backend for real images and thousands of trials: containers of a Docker engine, near or far."""
