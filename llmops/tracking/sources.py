"""Which of our source files a module runs, and their digest."""

from functools import cache
from modulefinder import ModuleFinder
from pathlib import Path
from typing import Any

import llmops
from llmops import digests

ROOT = Path(llmops.__file__).parent.parent  # a checkout, or the site-packages that everything else lies in too
PACKAGES = ("llmops", "mlflow_plugins", "pipelines")


@cache
def source_digest(module: str) -> str:
    """Digest the source files of `module` and of every module of ours it imports, at top level or inside functions.

    A change elsewhere in the package leaves the digest as it is.
    """
    finder = _OurModules(path=[str(ROOT)])
    finder.import_hook(module, None, ["*"])
    names = (getattr(found, "__file__", None) for found in finder.modules.values())  # built-in modules have none
    files = [Path(name) for name in names if name]
    return digests.of_data({path.relative_to(ROOT).as_posix(): digests.of_file(path) for path in files})


class _OurModules(ModuleFinder):
    """Follows imports of our packages only."""

    def find_module(self, name: str, path: Any, parent: Any = None) -> Any:
        if path is None and name not in PACKAGES:  # a name at the top
            raise ImportError(name)
        return super().find_module(name, path, parent)
