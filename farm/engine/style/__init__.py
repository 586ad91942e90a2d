"""Style losses: distances of a picture's statistics to the paintings', one file for each statistic.

`protocol.py` holds what all of them share, `choose.py` finds them by the name that a recipe gives. They
use the sums of `farm.engine.statistics`, and know nothing of networks, tiles and pictures.
"""
