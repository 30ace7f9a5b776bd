"""The relay engine: a small real-time process that is the wire of links that delay or lose packets.

``delay_line`` decides (pure), ``process`` moves the packets (the child), ``client`` starts and steers it
(the parent). Only the standard library is imported by the child, so that it starts in some 30 ms.
"""
