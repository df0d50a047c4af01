"""Functions that hold an invariant or serve two callers: state changes and shared queries.

They take a session and only flush; the caller at the edge (a request, a task, a command) commits.
"""
