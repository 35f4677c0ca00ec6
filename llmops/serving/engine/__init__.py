"""vLLM as our own process: its environment, flags, adapters, and the engines that deployments share."""
