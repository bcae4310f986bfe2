"""The embedded default: a proxy with two small stores, nothing to install."""
