"""What the API takes and gives. Responses read from ORM objects; requests check what they are given."""
