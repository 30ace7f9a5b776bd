"""The tasks that students are trained for. One file a task holds its labels, outputs, classes and metric."""
