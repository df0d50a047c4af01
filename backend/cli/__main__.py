"""`python -m backend.cli`: the same as `gleanset`, for worker processes that are started from another."""

from backend.cli.main import main

if __name__ == "__main__":
    main()
