"""Agents and what their machines offer."""
