"""Spark, through joblibspark's backend for joblib."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from keepfit.adapters.joblib_engine.links import Link, host_and_port, knock, signals_kept, within
from keepfit.errors import ConfigError
from keepfit.extras import require

STARTING = 120.0  # seconds that Java may take on a busy machine
EXAMPLE = "'spark://HOST:PORT', the address of Spark's master, or 'spark://local[2]'"


@contextmanager
def connected(url: str, count: int, seconds: float) -> Iterator[Link]:  # noqa: ARG001 - Spark's workers are there already
    """A session on a master, or in this process for 'spark://local[N]'; one that is there already is used."""
    why = "[engine] url = 'spark://...'"
    require("pyspark", extra="spark", why=why)
    require("joblibspark", extra="spark", why=why)
    place = url.removeprefix("spark://").rstrip("/")
    local = place == "local" or place.startswith("local[")
    if not local:
        host, port = host_and_port(url, EXAMPLE)
        knock(host, port, url, seconds, "Start its master there.")
    session, own = _session(place if local else f"spark://{place}", url, seconds, local=local)
    for module in ("joblibspark", "pyspark"):
        warnings.filterwarnings("ignore", module=module)  # of what they would rather have
    try:
        yield _link(session)
    finally:
        if own:
            session.stop()


def _session(master: str, url: str, seconds: float, *, local: bool) -> tuple[Any, bool]:
    from pyspark import SparkConf, SparkContext
    from pyspark.sql import SparkSession

    there = SparkSession.getActiveSession()
    if there is not None:
        return there, False
    if not (os.environ.get("JAVA_HOME") or shutil.which("java")):
        raise ConfigError("[engine] url = 'spark://...' needs Java, and there is neither JAVA_HOME nor java here: install it.")
    settings = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.log.level": "OFF"}
    if local:  # else the place of Python is the workers' matter, as PYSPARK_PYTHON says
        settings |= {f"spark.driver.{name}": "127.0.0.1" for name in ("host", "bindAddress")}
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    conf = SparkConf().setMaster(master).setAppName("keepfit").setAll(list(settings.items()))
    with signals_kept():
        gateway = within(STARTING, _gateway, url, "Java")
        patience = STARTING if local else seconds
        return within(patience, lambda: SparkSession(SparkContext(conf=conf, gateway=gateway)), url, "Spark"), True


@cache
def _gateway() -> Any:
    """Java, which stays as long as this process; what it says on the way is not shown, what goes wrong is raised."""
    from pyspark.java_gateway import launch_gateway

    return launch_gateway(popen_kwargs={"stderr": subprocess.DEVNULL})


def _link(session: Any) -> Link:
    from joblib._utils import _retrieve_traceback_capturing_wrapped_call
    from joblibspark.backend import SparkDistributedBackend

    class Backend(SparkDistributedBackend):  # type: ignore[misc]  # joblibspark publishes no types
        """As joblib 1.3 and later ask of a backend: else the reason is lost of whatever fails."""

        supports_retrieve_callback = True

        def submit(self, func: Any, callback: Any = None) -> Any:
            return self.apply_async(func, callback)

        def retrieve_result_callback(self, out: Any) -> Any:
            return _retrieve_traceback_capturing_wrapped_call(out)

    context = session.sparkContext

    def slots() -> int:
        spark = context._jsc.sc()
        if spark.isStopped():
            return 0
        return int(spark.maxNumConcurrentTasks(spark.resourceProfileManager().resourceProfileFromId(0)))

    return Link(backend=Backend, slots=slots, share=context.broadcast, one_by_one=True)
