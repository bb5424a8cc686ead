"""Linux: namespaces, mounts, Landlock and seccomp, from the standard library alone."""
