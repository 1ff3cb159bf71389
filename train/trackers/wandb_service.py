"""Whether W&B is used online: asked once per launch, so that no run waits for a mirror."""

import base64
import json
import logging
import netrc
import os
import ssl
import threading
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from train.config.run_config import TrackerSpec

OFFLINE_REASON = "ISOFLOP_WANDB_OFFLINE_REASON"
"""Environment variable that keeps a launch's decision, which its workers inherit.

Unset: not decided yet; empty: online; else the reason why every later run stays offline.
"""

PROBE_SECONDS = 5.0
"""Time for the service to answer one small question, name lookup included."""

log = logging.getLogger(__name__)


def wandb_mode(mode: str) -> str:
    """auto is online with a login (key in the environment or ~/.netrc), else offline."""
    if mode != "auto":
        return mode
    chosen = os.environ.get("WANDB_MODE")
    if chosen:
        return chosen
    return "online" if _api_key(base_url()) else "offline"


def launch_mode(tracker: TrackerSpec) -> str:
    """The mode of this launch's runs: offline instead of online once the service failed to answer.

    The first call asks the service, for `PROBE_SECONDS` at most; later ones, and those of processes
    that this one starts, keep to the answer.
    """
    mode = wandb_mode(tracker.mode)
    if mode != "online":
        return mode
    if OFFLINE_REASON not in os.environ:
        os.environ[OFFLINE_REASON] = ""
        stay_offline_without_service()
    return "offline" if os.environ[OFFLINE_REASON] else "online"


def stay_offline_without_service() -> bool:
    """Ask the service, and keep the rest of this launch offline where it does not answer."""
    problem = service_problem()
    if problem and not os.environ.get(OFFLINE_REASON):
        os.environ[OFFLINE_REASON] = problem
        log.warning(
            "W&B at %s can't be used (%s): this launch goes on offline; once it answers, "
            "`isoflop sweep sync DIR` uploads the runs of a sweep",
            base_url(),
            problem,
        )
    return bool(problem)


def base_url() -> str:
    """The address of the service, as wandb reads it from the environment."""
    return os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").rstrip("/")


def service_problem(seconds: float = PROBE_SECONDS) -> str:
    """Why W&B can't be used now; an empty string where it answers."""
    answers: list[str] = []
    # A thread, because a name lookup knows no timeout.
    asking = threading.Thread(target=lambda: answers.append(_ask(seconds)), daemon=True)
    asking.start()
    asking.join(seconds)
    return answers[0] if answers else f"no answer within {seconds:g} s"


def _ask(seconds: float) -> str:
    url = base_url()
    key = _api_key(url)
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = "Basic " + base64.b64encode(f"api:{key}".encode()).decode()
    question = json.dumps({"query": "query Viewer { viewer { id } }"}).encode()
    try:
        request = urllib.request.Request(f"{url}/graphql", question, headers)
        with urllib.request.urlopen(request, timeout=seconds) as answer:
            content = json.loads(answer.read())
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            return f"HTTP {error.code}: it refuses the API key; log in with `wandb login`"
        # Any other refusal of this question comes from a service that is there.
        return f"HTTP {error.code}" if error.code >= 500 else ""
    except urllib.error.URLError as error:
        # wandb brings certificates of its own: it may succeed where these do not.
        return "" if isinstance(error.reason, ssl.SSLError) else f"{error.reason}"
    except (OSError, ValueError) as error:
        return str(error) or type(error).__name__
    viewer = (content.get("data") or {}).get("viewer") if isinstance(content, dict) else None
    return "it does not know the API key; log in with `wandb login`" if key and not viewer else ""


def _api_key(url: str) -> str | None:
    """The key that wandb would use, from the environment or the netrc file."""
    if key := os.environ.get("WANDB_API_KEY"):
        return key
    path = Path(os.environ.get("NETRC", "~/.netrc")).expanduser()
    try:
        entry = netrc.netrc(path).hosts.get(urlsplit(url).hostname or "")
    except (OSError, netrc.NetrcParseError):
        return None
    return entry[2] if entry else None
