"""A bundle on disk -> an answer in memory. Knows no HTTP and no records."""
