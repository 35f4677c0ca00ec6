"""What a training would take and give, before it is paid for: sizes, memory, and whether vLLM would serve it."""
