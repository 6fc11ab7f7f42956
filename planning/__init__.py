"""Plans: does a stage fit a GPU, what must change, and how many hours will it take.

Needs torch and transformers, so nothing is imported here: import the module you need.
"""
