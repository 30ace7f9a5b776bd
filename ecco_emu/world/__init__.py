"""Where frames and their labels come from: a small town, rendered without a display or a GPU."""
