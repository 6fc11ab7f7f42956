"""Pages for people: the report of runs as one HTML file.

Nothing is imported here: a command imports its own module.
"""
