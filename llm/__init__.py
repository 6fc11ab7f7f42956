"""The language model: load, check, quantise, adapt and search. Nothing here knows of features."""
