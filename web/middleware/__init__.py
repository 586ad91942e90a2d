"""Layers that every request passes through: authentication, rate limits, headers, and errors in words.

Knows Flask, the settings and the tokens; no page and no endpoint.
"""
