"""The service around the engine: who asked for what, and what is remembered."""
