"""What a release needs and whose it is: facts for whoever decides, not scores."""

from llmops.chains.release import Release


def facts(release: Release, on_gpu: bool) -> dict[str, str]:
    """Facts by name. Whether it needs a GPU is told by where it answered: one that did without can."""
    external = release.generator.server is not None
    labels = release.generator.adapter is not None or release.kind == "few-shot"
    generator = release.generator
    drawn = {"decoding": f"drawn at temperature {generator.temperature:g}, top_p {generator.top_p:g}"}
    return {
        "base": release.generator.base,
        "needs_gpu": "no" if external or not on_gpu else "answered on one",
        "needs_labels": "yes" if labels else "no",
        "owns_weights": "no" if external else "yes",
        **(drawn if generator.temperature else {}),
    }
