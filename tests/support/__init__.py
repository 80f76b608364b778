"""What the tests in Python have in common: those on real parts, of packages, of Windows and of Kubernetes."""
