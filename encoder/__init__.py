"""Visual encoder: from frames to embeddings, in training, in extraction, and as a directory.

Needs torch for everything but its settings, so nothing is imported here: import the module you need.
"""
