"""Jobs from submission to deletion: the states, what an attempt writes, tickets, lists and clean-up.

May use pictures, the fleet, webhooks, tokens and all below them. The rows are the truth.
"""
