"""What the API and the pages share: who asks, sessions of the database, errors, pages of lists, headers."""
