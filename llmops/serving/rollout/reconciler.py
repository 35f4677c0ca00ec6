"""Follow an alias until told to end: what it names is checked, loaded beside what answers, and put in its place.

    python -m llmops.serving.rollout.reconciler --name handbook

One runs for each deployment. Killed at any time it goes on from the plan where it was.
"""

import argparse
import fcntl
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from llmops.addresses import without_password
from llmops.errors import DeploymentError, EngineError, LedgerError, LLMOpsError
from llmops.registry.parts import check_parts
from llmops.serving import state
from llmops.serving.options import Options
from llmops.serving.rollout.attempts import Attempts
from llmops.serving.rollout.backend import Backend, backend_of
from llmops.serving.rollout.keeper import Ended, Keeper, prune_copies
from llmops.serving.rollout.report import read_reports
from llmops.serving.rollout.target import (
    CHALLENGER,
    Refused,
    check_attested,
    find_target,
    read_aliases,
    resolve,
    seat_of,
    split_uri,
)
from llmops.serving.rollout.trials import judge, try_out
from llmops.serving.rollout.waking import wake, woken
from llmops.serving.state import Deployment
from llmops.serving.supervisor.starting import revive

TICK_S, UPKEEP_S, TEND_S = 0.1, 1.0, 5.0
SWITCH_S = 10.0  # that workers have for the switch, before it is told as it is
STORE, ENGINE = "the registry", "the engine"  # what failed, where it is not a release
_log = logging.getLogger(__name__)


class Reconciler:
    """Brings a deployment to what the registry says, a look at a time. It alone writes the plan, in one thread.

    While that waits for what is slow in a look, engines are repaired and a canary is judged.
    """

    def __init__(self, name: str, backend: Callable[[str, Options], Backend] = backend_of) -> None:
        self._name, self._folder, self._make_backend = name, state.deployment_folder(name), backend
        self._ended, self._attempts = threading.Event(), Attempts()
        self._keeper = Keeper(self._folder, self._ended, lambda: self._go_on(self._judge))
        self._deployment: Deployment | None = None
        self._made: tuple[Options, Backend] | None = None
        self._is_settled = False  # whether nothing is held that an earlier process may have left
        self._beat: Callable[[], object] = lambda: None
        self._upkeep_at, self._tend_at = 0.0, time.monotonic() + TEND_S

    def run(self, beat: Callable[[], object] = lambda: None) -> None:
        """Look every `poll_s` seconds, and at once when woken or the deployment is changed; `beat` is called all the time.

        Raises:
            DeploymentError: another reconciler works on the deployment.
        """
        with self._alone():
            self._beat, seen, look_at = beat, woken(self._folder), 0.0
            while not self._ended.wait(TICK_S):
                now = time.monotonic()
                if (last := woken(self._folder)) != seen:
                    seen, look_at = last, 0.0
                    self._attempts.hurry()
                if now >= self._upkeep_at and self._has_changed():
                    look_at = 0.0
                self._go_on(self.upkeep)
                if now >= look_at:
                    self._safely(self.look)
                    look_at = now + (self._deployment.options.poll_s if self._deployment else UPKEEP_S)

    def end(self) -> None:
        self._ended.set()

    def look(self) -> None:
        """Ask the registry, and do what follows."""
        before, deployment = self._deployment, state.read(self._name)
        self._deployment = deployment
        if deployment is None:  # deleted
            self.end()
            return
        if before != deployment:  # whoever changed it waits to be told what comes of it
            self._attempts.hurry(tell=True)
        start = time.time()
        try:
            model, _, _ = split_uri(deployment.model_uri)
            aliases = self._aliases(model)
            wanted = find_target(deployment.model_uri, aliases)
        except Ended:
            raise
        except Exception as error:
            self._failed(STORE, error, 0.0, "unreachable")
            return
        if line := self._attempts.worked(STORE):
            self._keeper.tell("recovered", f"The registry answers again. It was: {line}")
            self._attempts.hurry()
        challenger = aliases.get(CHALLENGER, "")
        rival = f"models:/{model}/{challenger}" if challenger and challenger != split_uri(wanted)[2] else ""
        self._attempts.keep(wanted, rival or CHALLENGER, ENGINE)
        self._attempt(ENGINE, lambda: self._change_engine(deployment.options))
        self._attempt(wanted, lambda: self._roll_out(wanted, deployment, start))
        if self._keeper.plan.current:
            self._attempt(rival or CHALLENGER, lambda: try_out(self._keeper, rival, self._backend, deployment.options))
        self._safely(self.upkeep)

    def upkeep(self) -> None:
        """End a canary that does worse, and let go of what no worker has any more."""
        if self._deployment is not None:
            self._judge()
            self._keeper.prune()
            self._settle()

    def _judge(self) -> None:
        judge(self._keeper)

    def tend(self) -> None:
        """Have an engine that doesn't answer started anew; workers follow it to another address."""
        plan = self._keeper.plan
        if self._deployment is None or not plan.engine:
            return
        backend = self._backend
        try:
            hows = [backend.now(how) for how in plan.loaded.values()]
        except EngineError:  # nobody knows of it any more: it is made anew
            self._keeper.write(replace(plan, engine=""))
            wake(self._folder)
            return
        if done := backend.tend(hows):
            self._keeper.tell("engine", done)
        loaded = {uri: backend.now(how) for uri, how in plan.loaded.items()}
        if loaded != plan.loaded:
            self._keeper.write(replace(plan, loaded=loaded))

    def _go_on(self, upkeep: Callable[[], None]) -> None:
        """Do what is due and waits for no release."""
        self._safely(self._beat)
        if time.monotonic() >= self._upkeep_at:
            self._safely(upkeep)
            self._upkeep_at = time.monotonic() + UPKEEP_S
        if time.monotonic() >= self._tend_at:
            self._safely(self.tend)
            self._tend_at = time.monotonic() + TEND_S

    @property
    def _backend(self) -> Backend:
        assert self._deployment is not None
        options = self._deployment.options
        if self._made is None or self._made[0] != options:
            self._made = options, self._make_backend(self._name, options)
        return self._made[1]

    def _roll_out(self, uri: str, deployment: Deployment, start: float) -> None:
        """Put a release in the place of the one that answers."""
        keeper, before = self._keeper, self._keeper.plan.current
        if uri == before:
            return
        if not deployment.options.allow_unattested:
            seat, follows = seat_of(deployment.model_uri, deployment.asked), "@" in deployment.model_uri
            keeper.beside(lambda: check_attested(seat, uri, follows))
        is_warm = keeper.is_warm(uri)
        checked = keeper.load(uri, self._backend, deployment.options.engine)
        loaded = time.time()
        if not is_warm and find_target(deployment.model_uri, self._aliases(split_uri(uri)[0])) != uri:
            keeper.tell("overtaken", f"{uri} was loaded, and is not asked for any more.", release=uri)
            wake(self._folder)
            return
        keeper.write(replace(keeper.plan, current=uri, previous=before, canary=None, shadow="").pruned())
        keeper.wait(lambda: keeper.is_answering(uri), SWITCH_S)
        times = {"checked": checked, "loaded": loaded, "answering": time.time()}
        keeper.tell(
            "rollout", f"{uri} answers, {f'in the place of {before}' if before else 'as the first'}.", release=uri,
            before=before, warm=is_warm, seconds={name: round(at - start, 3) for name, at in times.items()},
        )  # fmt: skip

    def _aliases(self, model: str) -> dict[str, str]:
        return self._keeper.beside(lambda: read_aliases(model))

    def _change_engine(self, options: Options) -> None:
        """Have releases run on what the options say now."""
        keeper, before, backend = self._keeper, self._keeper.plan, self._backend
        if not before.loaded or before.engine == options.engine:
            return
        self._is_settled = False  # what this makes ready is let go of, if it comes to nothing
        hows = keeper.beside(lambda: {uri: backend.prepare(check_parts(resolve(uri))) for uri in before.loaded})
        keeper.write(replace(keeper.plan, loaded=hows, engine=options.engine))
        try:
            keeper.wait_until_held(*hows)
        except LLMOpsError:
            keeper.write(replace(keeper.plan, loaded=before.loaded, engine=before.engine))
            raise
        keeper.tell("engine", f"releases run on engine={options.engine} now.")

    def _settle(self) -> None:
        """Let go of what releases ran on that no worker has any more."""
        reports, plan = read_reports(self._folder), self._keeper.plan
        if any(one.generation < plan.generation for one in reports):
            return
        left = {uri: how for uri, how in plan.leaving.items() if any(uri in one.loaded for one in reports)}
        if left == plan.leaving and self._is_settled:
            return
        self._backend.settle([*plan.loaded.values(), *left.values()])
        if left != plan.leaving:
            self._keeper.write(replace(plan, leaving=left))
        prune_copies()
        self._is_settled = True

    def _attempt(self, what: str, work: Callable[[], None]) -> None:
        if not self._attempts.is_due(what):
            return
        try:
            work()
        except Ended:
            return
        except (Refused, LedgerError) as error:  # the next look may find it otherwise
            self._failed(what, error, 0.0, "refused" if isinstance(error, Refused) else "unreachable")
        except Exception as error:
            assert self._deployment is not None
            self._is_settled = False  # it may have made an engine ready before
            self._failed(what, error, self._deployment.options.poll_s, "failed")
        else:
            if line := self._attempts.worked(what):
                release = {"release": what} if what.startswith("models:/") else {}
                self._keeper.tell("recovered", f"{what} is as asked. It was: {line}", **release)

    def _safely(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Ended:
            return
        except Exception as error:  # such as a full disk: it is tried again
            self._failed(work.__name__, error, 0.0, "failed")
        else:
            self._attempts.worked(work.__name__)

    def _failed(self, what: str, error: Exception, pause_s: float, kind: str) -> None:
        """Tell a failure, unless it is what was told before."""
        line = (without_password(str(error)).strip() or type(error).__name__).splitlines()[0][:500]
        if self._attempts.note(what, line, pause_s):
            _log.warning("%s", what, exc_info=None if isinstance(error, LLMOpsError) else error)
            current = self._keeper.plan.current
            stays = f"{current} goes on answering" if current else "nothing answers yet"
            tended = current if what == self.tend.__name__ else ""  # which is no reason against another one that loads
            release = what if what.startswith("models:/") else tended
            self._keeper.tell(kind, f"{line} ({stays}.)", **({"release": release} if release else {}))

    def _has_changed(self) -> bool:
        try:
            return state.read(self._name) != self._deployment
        except DeploymentError:
            return False

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "reconciler.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DeploymentError(f"another reconciler works on {self._name!r}. End it first.") from None
            yield


def main(name: str) -> None:
    """Run until told to end, or until the deployment is deleted. Where the supervisor is gone, start another."""
    reconciler, parent = Reconciler(name), os.getppid()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: reconciler.end())
    signal.signal(signal.SIGUSR1, lambda *_: wake(state.deployment_folder(name)))
    reconciler.run(lambda: os.getppid() != parent and revive(name))
    os._exit(0)  # a download that was begun has threads of its own, which an orderly exit waits for


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], allow_abbrev=False)
    parser.add_argument("--name", required=True)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        main(given.name)
    except LLMOpsError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
