"""On how many GPUs pods fit, and how the fleet should be cut for them.

``replicas`` and ``demand`` say what is wanted, ``fit`` what it takes, ``suggestion`` what to change.  The rest packs:
``problem`` states it, ``packing`` and ``patterns`` solve it, with ``solver``.
"""
