"""What does a gateway on vLLM answer in a second, what does it add, and does a rollout lose a request?"""
