"""The transport over simulated links, in virtual time: without sockets or a clock, and the same in every run.

``connections`` joins whole connections, datagram by datagram. ``bulk`` runs the same code for all parts that
decide shares (controller, recovery, pacing, acknowledgement rules, share reports) and leaves out frames,
seals and channels, which makes it several times faster. Both send over the links of ``links``.
"""
