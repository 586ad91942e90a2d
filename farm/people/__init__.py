"""Accounts: who may sign in and what they may see, tokens, sign-in links, quotas, and the audit.

Knows people and what is theirs; may use the database's tables and the settings.
"""
