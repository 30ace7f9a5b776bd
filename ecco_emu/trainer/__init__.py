"""The edge server's GPUs: ``backend`` is the interface, ``client`` reaches the processes that train.

Only ``yolo`` imports torch.
"""
