"""Serve one release until told to end.

    python -m llmops.serving.gateway --name handbook --uri models:/handbook/5 --port 8210 [--state FOLDER]

Started by a deployment, which resolved the alias to that version.
"""

import argparse
import logging
import sys
from pathlib import Path

from llmops.errors import LLMOpsError
from llmops.serving.gateway.app import create_app
from llmops.serving.gateway.server import Server
from llmops.serving.keys.check import check_bind
from llmops.serving.roster import Single, load_serving
from llmops.serving.state import state_folder


def main(name: str, uri: str, host: str, port: int, folder: Path) -> None:
    """Load the release and serve it.

    Raises:
        ConfigError: others could ask without a key.
        ArtifactError: there is no such release, or it can't be loaded.
    """
    app = create_app(Single(load_serving(name, uri)), folder)
    check_bind(host, app.state.gateway.keys.required)
    Server(app, host, port).run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], allow_abbrev=False)
    parser.add_argument("--name", required=True)
    parser.add_argument("--uri", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--state", type=Path, help="the deployment's folder (default: below $LLMOPS_STATE, by its name)")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        main(given.name, given.uri, given.host, given.port, given.state or state_folder() / given.name)
    except LLMOpsError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
