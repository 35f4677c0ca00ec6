"""What a release is made of: the digest of every part, and whether each is still there and what it was."""

from llmops import digests
from llmops.chains.release import Release
from llmops.errors import ArtifactError
from llmops.tracking import versions
from llmops.tracking.examples import load_examples
from llmops.tracking.flavor import fetch_folder
from llmops.tracking.loading import find_weights, load_retriever
from llmops.tracking.prompts import load_version
from llmops.tracking.releases import read_release
from llmops.tracking.versions import Registered


def part_digests(release: Release) -> dict[str, str]:
    """The digests that a release pins, by part; "" stands for none."""
    retrieval, generator, examples = release.retrieval, release.generator, release.examples
    templates = {one.name: one.template for one in release.chain}
    found = {
        "base": generator.base_digest, "adapter": generator.adapter_digest, "index": retrieval and retrieval.index_digest,
        "reranker": retrieval and retrieval.reranker_digest, "examples": examples and examples.examples_digest,
        "prompt": digests.of_data(release.template), "chain": templates and digests.of_data(templates),
        "guards": release.guards.digest, "code": release.code_digest,
    }  # fmt: skip
    return {name: digest for name, digest in found.items() if digest}


def check_parts(version: Registered) -> Release:
    """Fetch a registered release and all its parts, and compare each with the digest that was pinned.

    Raises:
        ArtifactError, WeightsError: a part is gone, or isn't what it was.
    """
    if not versions.is_whole(version):
        raise ArtifactError(f"the files of {version.uri} are gone. Choose another version.")
    release = read_release(version.uri)
    versions.check_pinned(version.uri, release.digest, version.digest)
    generator, examples, guards = release.generator, release.examples, release.guards
    for prompt in (release.prompt, *(one.prompt for one in release.chain)):
        load_version(prompt)
    load_retriever(release)
    if guards.injection_classifier:
        find_weights(guards.injection_classifier, guards.injection_classifier_digest or None)
    if generator.server is None:
        find_weights(generator.base, generator.base_digest)
    if generator.adapter is not None:
        found = digests.of_folder(fetch_folder("adapter", generator.adapter))
        versions.check_pinned(generator.adapter, found, generator.adapter_digest)
    if examples is not None:
        load_examples(examples.examples, examples.examples_digest)
        if examples.embedder is not None:
            find_weights(examples.embedder, examples.embedder_digest)
    return release
