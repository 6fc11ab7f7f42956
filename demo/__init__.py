"""The generated sign language, its small language model, and the run of the whole pipeline on both."""
