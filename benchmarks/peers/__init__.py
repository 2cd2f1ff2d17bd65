"""Other toolkits, each measured in an environment of its own; and workers that train in it."""
