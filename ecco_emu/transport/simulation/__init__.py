"""The transport over simulated links, in virtual time: no sockets, no clock, the same every run.

``connections`` joins whole connections, datagram by datagram; ``bulk`` keeps of a connection what decides
shares (controller, recovery, pacing, acknowledgement rules, share reports: the same code) and leaves out
frames, seals and channels, which makes it several times faster. ``links`` is what both of them send over.
"""
