"""The judge of graphs is judged: a server in miniature that checks graphs and has six ops; wrong ones made of it."""
