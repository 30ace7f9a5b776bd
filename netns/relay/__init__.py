"""The relay engine: a small real-time process through which the packets of impaired links pass.

``netns.delay_line`` decides about each packet (pure). ``process`` is the program of the child process and
moves the packets. ``client`` starts the child and controls it from the parent. The child imports only the
standard library, so that it starts in some 30 ms.
"""
