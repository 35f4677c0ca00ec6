"""Is evaluation right, and what does it cost?"""
