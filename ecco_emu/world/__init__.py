"""Where frames and their labels come from: ``source`` is the interface, ``town`` one kind."""
