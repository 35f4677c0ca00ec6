"""Real servers for tests, on the loopback: PostgreSQL, MLflow's tracking server, and one that speaks S3."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import psycopg

from llmops.serving.process import check_port, last_words

LOOPBACK = "127.0.0.1"
PASSWORD = "correct horse battery staple"  # of every user of the tracking server
S3_KEY, S3_SECRET, BUCKET = "key", "secret", "mlflow"
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "unix_socket_directories=", "shared_buffers=32MB")


@dataclass(frozen=True)
class Server:
    """A process that answers at `url`."""

    url: str
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """End it and what it started without a chance to finish anything."""
        for process in [*psutil.Process(self.process.pid).children(recursive=True), self.process]:
            process.kill()
        self.process.wait()


@contextmanager
def _running(
    command: Sequence[str], url: str, log: Path, is_ready: Callable[[], bool], how: signal.Signals = signal.SIGTERM,
    env: dict[str, str] | None = None, user: str | None = None,
) -> Iterator[Server]:  # fmt: skip
    """Run a server until the end of the block; what it says goes to `log`."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=log.parent if not user else "/",
            env={**os.environ, **(env or {})}, user=user, group=user, extra_groups=[] if user else None,
        )  # fmt: skip
    try:
        _wait(process, is_ready, log)
        yield Server(url, process)
    finally:
        if process.poll() is None:
            _stop(psutil.Process(process.pid), how)
        process.wait()


def _wait(process: subprocess.Popen[bytes], is_ready: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + 180
    while not is_ready():
        assert process.poll() is None, f"the server ended while starting: {last_words(log)} Its log: {log}"
        assert time.monotonic() < deadline, f"the server was not ready after three minutes. Its log: {log}"
        time.sleep(0.05)


def _stop(process: psutil.Process, how: signal.Signals) -> None:
    children = process.children(recursive=True)
    process.send_signal(how)
    for one in psutil.wait_procs([process, *children], timeout=20)[1]:
        one.kill()


@contextmanager
def postgres(log: Path) -> Iterator[str]:
    """A PostgreSQL of its own: the URL, without a database, of its superuser. It refuses to run as root."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    assert programs, "PostgreSQL is missing, expected /usr/lib/postgresql. Install it: apt-get install postgresql"
    user = "postgres" if os.geteuid() == 0 else None  # the package's own
    folder = Path(tempfile.mkdtemp(prefix="llmops-postgres-"))  # where that user gets to, which pytest's folders are not
    port = check_port(LOOPBACK, 0)
    try:
        if user:
            shutil.chown(folder, user, user)
        subprocess.run(
            [programs[-1] / "initdb", "-D", folder, "--auth=trust", "--username=llmops", "--no-sync", "--encoding=UTF8"],
            user=user, group=user, extra_groups=[] if user else None, cwd="/", check=True, capture_output=True,
        )  # fmt: skip
        settings = [part for setting in (f"listen_addresses={LOOPBACK}", f"port={port}", *FAST) for part in ("-c", setting)]
        url = f"postgresql://llmops@{LOOPBACK}:{port}"
        with _running(
            [str(programs[-1] / "postgres"), "-D", str(folder), *settings], url, log, lambda: _accepts(url), signal.SIGINT,
            user=user,
        ):  # fmt: skip
            yield url
    finally:
        shutil.rmtree(folder)


def _accepts(url: str) -> bool:
    try:
        psycopg.connect(f"{url}/postgres").close()
    except psycopg.OperationalError:
        return False
    return True


def create_database(url: str, name: str) -> str:
    """Create an empty database on a PostgreSQL; return its URL."""
    connection = psycopg.connect(f"{url}/postgres")
    connection.autocommit = True
    connection.cursor().execute(f"CREATE DATABASE {name}")
    connection.close()
    return f"{url}/{name}"


@contextmanager
def mlflow_server(
    store: str, artifacts: str, log: Path, users: str = "", env: dict[str, str] | None = None, port: int = 0
) -> Iterator[Server]:
    """A tracking server on a database, with artifacts proxied; with a database of `users` it asks for basic auth."""
    port = check_port(LOOPBACK, port)
    command = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--artifacts-destination", artifacts,
        "--host", LOOPBACK, "--port", str(port), "--workers", "1", *(["--app-name", "basic-auth"] if users else []),
    ]  # fmt: skip
    settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **(env or {})}
    if users:
        config = log.with_suffix(".ini")
        config.write_text(
            f"[mlflow]\ndefault_permission = READ\ndatabase_uri = {users}\nadmin_username = admin\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
            "auth_cache_ttl_seconds = 60\n"  # else every request costs a password's hash, a fifth of a second
        )
        settings |= {
            "MLFLOW_AUTH_CONFIG_PATH": str(config), "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "of the tests",
        }  # fmt: skip
    url = f"http://{LOOPBACK}:{port}"
    with _running(command, url, log, lambda: _is_healthy(url), env=settings) as server:
        yield server


def create_users(url: str, *names: str) -> None:
    """Make users of a tracking server with basic auth, who may read everything."""
    for name in names:
        ask_as_admin(url, "users/create", {"username": name, "password": PASSWORD})


def grant(url: str, user: str, permission: str, resource: str, name: str) -> None:
    """Give a user a permission (READ, EDIT, MANAGE) on an `experiment`, by id, or a `registered_model`, by name."""
    given = {"username": user, "resource_type": resource, "resource_id": name, "permission": permission}
    ask_as_admin(url, "users/permissions/grant", given, "3.0")


def ask_as_admin(url: str, path: str, body: dict[str, str], version: str = "2.0") -> None:
    httpx.post(
        f"{url}/api/{version}/mlflow/{path}", json=body, auth=("admin", PASSWORD), timeout=60, trust_env=False
    ).raise_for_status()


def _is_healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).is_success
    except httpx.HTTPError:
        return False


@contextmanager
def s3(folder: Path, log: Path) -> Iterator[dict[str, str]]:
    """A server that speaks S3 (rclone over a folder) with one bucket: the environment in which boto3 finds it."""
    (folder / BUCKET).mkdir(parents=True)
    address = f"{LOOPBACK}:{check_port(LOOPBACK, 0)}"
    rclone = str(Path(sys.executable).with_name("rclone"))
    command = [rclone, "serve", "s3", str(folder), "--addr", address, "--auth-key", f"{S3_KEY},{S3_SECRET}", "--config", ""]
    with _running(command, f"http://{address}", log, lambda: _answers(f"http://{address}")) as server:
        yield {
            "MLFLOW_S3_ENDPOINT_URL": server.url, "AWS_ACCESS_KEY_ID": S3_KEY, "AWS_SECRET_ACCESS_KEY": S3_SECRET,
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
        }  # fmt: skip


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code < 500
    except httpx.HTTPError:
        return False
