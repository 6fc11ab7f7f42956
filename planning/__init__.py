"""Plans of a stage: fit into a GPU, settings to change, and hours.

The modules need torch and transformers, so the package imports none of them.
"""
