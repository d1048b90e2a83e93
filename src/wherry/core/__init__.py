"""Core: containerd's role.  Content, snapshots, images, transfer, tasks, leases and events.

Core knows neither Docker nor Kubernetes.  Where containerd has a namespace, core has a
`tenant`.  Stores are synchronous: coroutines reach the disk through `core.threads`.  One
process owns a data root; within it every store may be used from any thread.
"""
