"""A small web on loopback, with a search API and drawn pictures, so that a first run needs neither internet nor key."""
