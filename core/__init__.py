"""The ground floor: errors, configuration, files, samples. Loads no torch, knows no video and no model."""
