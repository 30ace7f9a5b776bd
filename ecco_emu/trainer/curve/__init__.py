"""Students that are a few numbers: accuracy as a fitted function of training, and noise as decisions see it.

``fit`` holds the parameters, ``model`` the formulas, ``noise`` and ``seeing`` make detections of them,
``ahead`` saves most of their time, ``student`` is a student's file, ``backend`` the edge server's GPUs,
``inference`` the cameras'. Everything is a function of the seed and of the calls so far. Imports no torch and
looks at no clock. docs/notes/curve.md has the formulas, and how far they can be trusted.
"""
