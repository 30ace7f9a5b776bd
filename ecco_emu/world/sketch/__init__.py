"""A world that draws nothing: its pictures only say which frame they stand for."""
