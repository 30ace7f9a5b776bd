"""A small town, rendered without a display or a GPU, with exact labels and weather by district."""
