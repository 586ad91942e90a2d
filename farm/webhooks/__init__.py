"""How clients are notified that a job has ended: deliveries, their payload, and where they may go.

May use the database; the sending itself is `workers.webhook_sender`'s.
"""
