from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from keepfit.errors import AliasMoved, KeepfitError, LeaseHeld, NotFound
from keepfit.lease import new_holder
from keepfit.live.servers import ANSWERING, Server, announce, ask_running, running, sweep
from keepfit.records import Interval
from keepfit.serving.control import AT_ONCE, ControlServer, OfficeAway, OfficeClient


def refuse(**_: Any) -> None:
    raise LeaseHeld("somebody works on it")


def fail(**_: Any) -> None:
    raise ValueError("secret text of a customer")


def twice(word: str) -> str:
    return word * 2


class Moved(AliasMoved):
    """Known here only."""


def moved() -> None:
    raise Moved()


ACTS = {"twice": twice, "refuse": refuse, "fail": fail, "moved": moved, "record": lambda: Interval(low=0, high=1)}


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    server = ControlServer(tmp_path / "office", ACTS)
    yield tmp_path / "office"
    server.close()


def ask(path: Path, act: str, **arguments: Any) -> Any:
    """Both ways; they must agree."""
    client = OfficeClient(path)
    answers = []
    for way in (lambda: client.ask_now(act, **arguments), lambda: asyncio.run(client.ask(act, **arguments))):
        try:
            answers.append(way())
        except KeepfitError as error:
            answers.append((type(error), str(error)))
    assert answers[0] == answers[1]
    if isinstance(answers[0], tuple):
        raise answers[0][0](answers[0][1])
    return answers[0]


def test_an_act_is_done_and_answered(path: Path) -> None:
    assert ask(path, "twice", word="ä\n") == "ä\nä\n"
    assert ask(path, "record") == {"low": 0, "high": 1, "level": 0.95}


def test_the_error_that_the_office_met_is_raised_by_its_name(path: Path) -> None:
    with pytest.raises(LeaseHeld, match="somebody works on it"):
        ask(path, "refuse")
    with pytest.raises(AliasMoved):
        ask(path, "moved")
    with pytest.raises(NotFound, match="nothing"):
        ask(path, "nothing")


def test_what_was_not_foreseen_does_not_quote_data(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeepfitError) as raised:
        ask(path, "fail")
    assert "ValueError at test_control.py" in str(raised.value)
    assert "secret" not in str(raised.value) + capfd.readouterr().err


def test_nobody_there_is_told_as_away(tmp_path: Path) -> None:
    with pytest.raises(OfficeAway):
        ask(tmp_path / "nobody", "twice", word="a")


def test_an_office_that_goes_away_in_the_middle_is_told_as_away(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "office"))
        listening.listen()
        listening.setblocking(True)

        async def cut() -> None:
            asking = asyncio.create_task(OfficeClient(tmp_path / "office").ask("twice", word="a"))
            connection, _ = await asyncio.to_thread(listening.accept)
            connection.close()
            await asking

        with pytest.raises(OfficeAway):
            asyncio.run(cut())


def test_one_that_does_not_answer_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "office"))
        listening.listen()
        with pytest.raises(OfficeAway):
            OfficeClient(tmp_path / "office", patience=0.05).ask_now("twice", word="a")
        with pytest.raises(OfficeAway):
            asyncio.run(OfficeClient(tmp_path / "office", patience=0.05).ask("twice", word="a"))


def test_a_look_is_waited_for_less_long_than_a_move() -> None:
    client = OfficeClient("office")
    assert client._patience_for("comparison") < 15
    assert client._patience_for("rollback") == ANSWERING


def test_a_rollback_waits_for_no_look(tmp_path: Path) -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()

    def look() -> None:
        begun.release()
        assert go_on.wait(20)

    server = ControlServer(tmp_path / "office", {"comparison": look, "rollback": lambda: "done"})
    client = OfficeClient(tmp_path / "office", patience=5)
    try:
        with ThreadPoolExecutor(AT_ONCE) as askers:
            looks = [askers.submit(client.ask_now, "comparison") for _ in range(AT_ONCE)]
            for _ in looks:
                assert begun.acquire(timeout=10)
            assert client.ask_now("rollback") == "done"
            go_on.set()
            assert [each.result(10) for each in looks] == [None] * AT_ONCE
    finally:
        go_on.set()
        server.close()


@pytest.mark.parametrize("said", [b"", b"{", b"[]\n", b"not json\n", b'{"act": "twice"}\n', b"\xff\xfe\n"])
def test_nonsense_harms_nobody(path: Path, said: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(path))
        line.sendall(said)
        line.shutdown(socket.SHUT_WR)
        answer = line.makefile("rb").read()
    assert not answer or "error" in json.loads(answer)
    assert ask(path, "twice", word="a") == "aa"


def test_a_running_server_is_found_and_one_that_died_is_swept_away(tmp_path: Path, path: Path) -> None:
    assert ask_running(tmp_path, "twice", word="a") is None
    alive = announce(Server(holder=new_holder(), address="http://127.0.0.1:1", folder=str(path.parent)), tmp_path)
    assert running(tmp_path) == []  # this very process holds nothing, so the holder counts as gone
    holder = f"{socket.gethostname()}-elsewhere:1:0-0-1"
    server = Server(holder=holder, address="http://127.0.0.1:1", folder=str(path.parent))
    there = announce(server, tmp_path)
    assert there == alive
    assert running(tmp_path) == [server]
    assert ask_running(tmp_path, "twice", word="a") == ("aa",)
    announce(Server(holder=new_holder(), address="http://127.0.0.1:1", folder=str(tmp_path / "other")), tmp_path)
    sweep(tmp_path)
    assert running(tmp_path) == [server]
    assert len(list((tmp_path / ".keepfit/serving/servers").iterdir())) == 1
    assert path.exists(), "only a folder of its own kind is removed"
