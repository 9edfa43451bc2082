"""The protocol as data (data/), as prose (text/) and as recorded bytes (vectors/); load.load() reads the data."""
