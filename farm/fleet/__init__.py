"""Registry of live workers, and estimates of the memory and time that a picture needs on them.

May use the database and the recipe's arithmetic; sends no request to a worker.
"""
