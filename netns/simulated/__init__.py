"""The simulated engine: links without packets, devices or privileges, on the clock of the running event loop.

``rate_queue`` (htb and its queue) and ``netns.delay_line`` (the impairments) decide about each packet; both
are pure. A ``direction`` is one after the other. ``switch`` moves packets from the nodes' egress to the
nodes' ingress and keeps the one timer of a lab. ``ports`` are there for programs in place of sockets.
``packets`` makes real frames of packets where somebody looks at their bytes: to corrupt one, or for a
``capture``.

On an ordinary event loop the links work in real time, and in virtual time on a loop whose clock jumps.
"""
