"""Style Farm: everything that web and workers share."""
