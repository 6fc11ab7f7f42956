"""Pages for people: the report of runs as one HTML file, and the page that translates videos.

Nothing is imported here: a command imports its own module.
"""
