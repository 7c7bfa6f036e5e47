"""Figures from result files."""
