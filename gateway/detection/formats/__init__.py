"""Prove formats by their structure, one group of formats a file."""
