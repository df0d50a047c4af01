from tests.stores import place, s3, s3_server

__all__ = ["place", "s3", "s3_server"]
