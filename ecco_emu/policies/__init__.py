"""Policies: named compositions of ``control``. A policy says who may train together, who gets the GPUs and
what cameras send. ``base`` defines what that means, ``registry`` makes one by name, ``steering`` turns its
shares into the transport's settings; each other file is one policy.
"""
