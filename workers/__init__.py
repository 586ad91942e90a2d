"""The workers: processes that take tickets, render, and report; and the janitor that tidies."""
