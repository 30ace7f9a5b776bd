"""The paper's experiments, built on ``study``. There are none yet."""
