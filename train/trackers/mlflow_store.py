"""MLflow's database on this machine, made by a process of its own that nothing of ours ends.

Its first user makes the tables and takes them through every version that MLflow ever had: seconds
of a core. A process that ends meanwhile leaves a database that MLflow refuses from then on.

    python -m train.trackers.mlflow_store
"""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from threading import Thread
from urllib.parse import unquote

from train.commands.processes import python_command, python_environment

_SQLITE = "sqlite:///"


def database() -> Path | None:
    """The file of the database that MLflow uses here; None where it uses a server or folders."""
    address = os.environ.get("MLFLOW_TRACKING_URI", "")
    if address:
        named = unquote(address.removeprefix(_SQLITE)) if address.startswith(_SQLITE) else ""
        return Path(named) if named else None
    return None if Path("mlruns").is_dir() else Path("mlflow.db")


def begin() -> "subprocess.Popen[bytes] | None":
    """Start to make the database; None where there is one, or none is used.

    Several may begin at once: MLflow has a lock for it, and the later ones find the tables.
    """
    path = database()
    if path is None or (path.is_file() and path.stat().st_size > 0):
        return None
    made = subprocess.Popen(
        python_command("train.trackers.mlflow_store"),
        env=python_environment(os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    Thread(target=made.wait, daemon=True, name="mlflow database").start()
    return made


def main() -> int:
    import_module("mlflow").MlflowClient().search_experiments(max_results=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
