"""Sample graphs, one file for each subject of definitions/."""
