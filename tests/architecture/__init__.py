"""The rules of the architecture as functions over a source tree."""
