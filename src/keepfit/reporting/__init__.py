"""What a cycle looks like to people and to machines: one page that stands alone, and one small file of JSON."""
