"""Notification of clients that a job has ended: deliveries, their payload, and their destinations.

May use the database; the sending itself is `workers.webhook_sender`'s.
"""
