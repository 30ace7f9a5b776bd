"""A whole run: ``assembly`` builds it from a scenario, ``system`` runs it, ``emulation`` is for Python."""
