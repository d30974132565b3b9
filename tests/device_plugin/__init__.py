"""NVIDIA's own device plugin, on GPUs that do not exist: what it tells a kubelet of the nodes of a fleet.

The plugin is the real program, in a folder that plays its container: the environment, the command, the configuration
file and the mounts are those of the DaemonSet that is generated for the fleet.  It finds a driver library of ours
(``fake_nvml.c``), which plays the GPUs of the pool, cut as the pool says, and a kubelet of ours, which asks what a
kubelet asks.

It shows how the plugin names and counts slices.  It does not show that a driver can cut them.
"""
