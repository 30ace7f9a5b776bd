"""One camera: its conversation with the server, its watch for drift, its video and its students."""
