"""Policies: named compositions of ``control``. A policy says which cameras may train together, which job gets
the GPUs, and how cameras send. ``base`` defines the decisions, ``registry`` makes a policy by name, and
``steering`` turns its shares into the transport's settings; each other file is one policy.
"""
