"""Workers: processes that take tickets, render, and report; and the janitor.

May use every room of `farm`.
"""
