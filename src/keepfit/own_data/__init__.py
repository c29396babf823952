"""`keepfit init --data`: looks at a file of one's own and writes the project that fits it."""
