"""The real supervisor, with the small worker and reconciler beside this."""

from llmops.serving import supervisor

supervisor.SUPERVISOR = __spec__.name if __spec__ else __name__
supervisor.WORKER, supervisor.RECONCILER = "fake_serving.worker", "fake_serving.reconciler"

if __name__ == "__main__":
    supervisor.run()
