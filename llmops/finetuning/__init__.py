"""Training adapters, and the certificate that a saved one is the trained one."""
