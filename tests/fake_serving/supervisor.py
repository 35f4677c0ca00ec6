"""The real supervisor, with the small worker and reconciler beside this."""

from llmops.serving.supervisor import __main__, child, starting

starting.SUPERVISOR = __spec__.name if __spec__ else __name__
child.WORKER, child.RECONCILER = "fake_serving.worker", "fake_serving.reconciler"

if __name__ == "__main__":
    __main__.run()
