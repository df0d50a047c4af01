"""Gleanset's engine: from candidates to a clean, licensed image dataset.

A pure, typed library: no database, settings, web or command line in it.
"""
