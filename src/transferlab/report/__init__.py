"""Tables, pictures and pages for people, made from values."""
