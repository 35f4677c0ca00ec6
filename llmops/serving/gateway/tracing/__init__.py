"""Answers become MLflow traces, and no request waits for the tracking server.

Spans are noted while an answer is made (`recorder`), wait in a bounded queue (`queue`), and are handed to a process
beside the gateway (`process`), which makes traces of them (`composer`) and writes those (`writer`).
"""
