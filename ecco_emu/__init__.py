"""ecco-emu: a whole continuous-learning video-analytics system on one Linux host.

Follow a frame through the packages in this order: ``world`` renders it, ``camera`` samples it,
``video`` encodes it, ``transport`` carries it, ``server`` receives it, ``trainer`` learns from it,
``control`` and ``policies`` decide who gets the GPU and the bandwidth, ``emulation`` runs the lot.
"""

__version__ = "0.1.0"
