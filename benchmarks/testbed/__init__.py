"""Parts shared by tests, benchmarks and the pictures of the docs: real processes of a farm, and the
objective in its plainest form, to compare the engine with. Nothing of the farm knows of it."""
