"""What students are trained for: one file a task, with its labels, outputs, classes and metric."""
