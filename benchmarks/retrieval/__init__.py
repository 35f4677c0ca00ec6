"""Retrieval beside LangChain, full rebuilds and published figures."""
