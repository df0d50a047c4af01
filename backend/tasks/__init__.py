"""What workers run: each task joins the services (what is remembered) to the engine (what is done)."""
