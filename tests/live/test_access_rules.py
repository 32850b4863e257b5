# SPDX-License-Identifier: BSD-3-Clause
"""389-ds heeds no access rules in its persist stage; the client tells what a search shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

import ldap
import pytest

from syncrepl_client import Syncrepl
from syncrepl_client.engine import rereading
from tests.faults.recorder import PERSIST, Recorder, contents, poll_until
from tests.faults.watchdog import watchdog  # noqa: F401 - a fixture
from tests.mirror import content
from tests.servers import DS389
from tests.servers.people import SUFFIX

pytestmark = pytest.mark.usefixtures("watchdog")

READER, PASSWORD = f"cn=reader,{SUFFIX}", "reader-secret"
PUBLIC, SECRET = f"ou=public,{SUFFIX}", f"ou=secret,{SUFFIX}"
RULE = (
    '(target = "ldap:///{}")(targetattr = "{}")(version 3.0; acl "{}"; allow ({}) userdn = "{}";)'
)


def rule(where: str, names: str, who: str) -> bytes:
    allowed = f'allow (read, search, compare) userdn = "ldap:///{who}"'
    return (
        f'(target = "ldap:///{where}")(targetattr = "{names}")'
        f'(version 3.0; acl "{who}"; {allowed};)'
    ).encode()


class Place:
    """A directory of which the reader and anonymous may see ``cn`` and ``sn`` in ou=public."""

    def __init__(self, server: DS389, *, unique_id: bool) -> None:
        self.server = server
        names = "cn || sn || objectClass" + (" || nsUniqueId" if unique_id else "")
        self.admin = server.connect()
        rules = [rule(PUBLIC, names, who) for who in (READER, "anyone")]
        self.admin.modify_s(SUFFIX, [(ldap.MOD_REPLACE, "aci", rules)])
        self.add(READER, {"objectClass": [b"person"], "userPassword": [PASSWORD.encode()]})
        for name in (PUBLIC, SECRET):
            self.add(name, {"objectClass": [b"organizationalUnit"]})
        self.person("ada", PUBLIC)
        self.person("ben", SECRET)

    def add(self, name: str, attrs: dict[str, list[bytes]]) -> None:
        kind, _, value = name.partition(",")[0].partition("=")
        more = {} if b"organizationalUnit" in attrs["objectClass"] else {"sn": [value.encode()]}
        self.admin.add_s(name, list({kind: [value.encode()], **more, **attrs}.items()))

    def person(self, name: str, where: str) -> str:
        attrs = {"objectClass": [b"inetOrgPerson"], "mail": [b"m"], "userPassword": [b"password"]}
        self.add(f"cn={name},{where}", attrs)
        return f"cn={name},{where}"

    def renamed_group(self, where: str) -> str:
        """Add a container, eva below it, and rename it; return its new DN."""
        self.add(f"ou=group,{where}", {"objectClass": [b"organizationalUnit"]})
        self.person("eva", f"ou=group,{where}")
        self.admin.rename_s(f"ou=group,{where}", "ou=others")
        return f"ou=others,{where}"

    def change(self, name: str, attribute: str, value: bytes) -> None:
        self.admin.modify_s(name, [(ldap.MOD_REPLACE, attribute, [value])])

    def follow(self, path: Path, recorder: Recorder, user: str, **options: Any) -> Syncrepl:
        bind = f"?bindname={user.replace(',', '%2C')}" if user else ""
        names, condition = options.pop("names", ""), options.pop("filter", "(objectClass=*)")
        url = f"{self.server.url}/{SUFFIX}?{names}?sub?{condition}{bind}"
        password = PASSWORD if user else None
        return Syncrepl(f"{path}/", recorder, PERSIST, url, password=password, **options)

    def settle(self, client: Syncrepl, recorder: Recorder) -> None:
        """Poll until all that was changed by now has been told."""
        marker = self.person("marker", PUBLIC)
        while marker not in recorder.mirror:
            assert client.poll(10)
        self.admin.delete_s(marker)
        while marker in recorder.mirror:
            assert client.poll(10)
        recorder.heard = [each for each in recorder.heard if marker not in each]
        assert contents(client) == recorder.mirror


@pytest.fixture(params=[True, False], ids=["nsUniqueId shown", "nsUniqueId hidden"])
def place(request: pytest.FixtureRequest, run_server: Callable[..., Any]) -> Any:
    place = Place(run_server(DS389), unique_id=request.param)
    yield place
    place.admin.unbind_s()


def taken(recorder: Recorder) -> set[str]:
    """Names of all attributes that the callback heard of."""
    return {name.lower() for attrs in recorder.mirror.values() for name in attrs}


@pytest.mark.parametrize("user", [READER, ""], ids=["reader", "anonymous"])
def test_what_a_search_does_not_show_is_not_told(place: Place, user: str, tmp_path: Path) -> None:
    recorder = Recorder()
    with place.follow(tmp_path, recorder, user) as client:
        poll_until(client, recorder, "refresh_done")
        assert recorder.mirror.keys() == {PUBLIC, f"cn=ada,{PUBLIC}"}
        recorder.clear()
        place.change(f"cn=ada,{PUBLIC}", "description", b"not shown")
        place.change(f"cn=ben,{SECRET}", "sn", b"new")
        cat, dan = place.person("cat", SECRET), place.person("dan", PUBLIC)
        place.change(f"cn=ada,{PUBLIC}", "sn", b"new")
        place.settle(client, recorder)
        # Who reads later reads what is newer, so the order of the two may be the other one.
        assert sorted(recorder.changes) == [("add", dan), ("change", f"cn=ada,{PUBLIC}")]
        assert taken(recorder) == {"objectclass", "ou", "cn", "sn"} - {"ou"}
        assert client.verify() == []
        for name in (cat, dan):
            place.admin.delete_s(name)
        place.settle(client, recorder)
        assert recorder.changes[2:] == [("delete", dan)]
    for file in tmp_path.iterdir():
        data = file.read_bytes()
        assert b"PBKDF2" not in data
        assert SECRET.encode() not in data


def test_with_trust_persist_all_is_told(place: Place, tmp_path: Path) -> None:
    """If this fails, the server heeds access rules by now."""
    recorder = Recorder()
    with place.follow(tmp_path, recorder, READER, trust_persist=True) as client:
        poll_until(client, recorder, "refresh_done")
        place.change(f"cn=ben,{SECRET}", "sn", b"new")
        poll_until(client, recorder, "add", 3)
        assert f"cn=ben,{SECRET}" in recorder.mirror
        assert "userpassword" in taken(recorder)


def test_attributes_that_were_asked_for(place: Place, tmp_path: Path) -> None:
    recorder = Recorder()
    names = "commonName,userPassword"
    with place.follow(tmp_path, recorder, READER, names=names) as client:
        poll_until(client, recorder, "refresh_done")
        recorder.clear()
        place.change(f"cn=ada,{PUBLIC}", "userPassword", b"another")
        place.settle(client, recorder)
        assert recorder.changes == []
        assert content(recorder.mirror)[f"cn=ada,{PUBLIC}"] == {"commonname": [b"ada"]}


def test_a_filter_on_what_is_not_shown(place: Place, tmp_path: Path) -> None:
    """To a search the filter does not match, whatever the entry has."""
    recorder = Recorder()
    hidden = "(|(mail=m)(sn=marker))"
    with place.follow(tmp_path, recorder, READER, filter=hidden) as client:
        poll_until(client, recorder, "refresh_done")
        place.change(f"cn=ada,{PUBLIC}", "sn", b"new")
        place.settle(client, recorder)
        assert recorder.changes == []


def test_moves_in_and_out_of_sight(place: Place, tmp_path: Path) -> None:
    recorder = Recorder()
    with place.follow(tmp_path, recorder, READER) as client:
        poll_until(client, recorder, "refresh_done")
        recorder.clear()
        place.admin.rename_s(f"cn=ben,{SECRET}", "cn=ben", PUBLIC)
        place.settle(client, recorder)
        assert recorder.changes == [("add", f"cn=ben,{PUBLIC}")]
        recorder.clear()
        place.admin.rename_s(f"cn=ada,{PUBLIC}", "cn=ada", SECRET)
        poll_until(client, recorder, "refresh_done")  # a search without a cookie says so
        assert recorder.changes == [("delete", f"cn=ada,{PUBLIC}")]
        place.admin.rename_s(f"cn=ada,{SECRET}", "cn=eva", PUBLIC)
        place.settle(client, recorder)
        assert recorder.mirror.keys() == {PUBLIC, f"cn=ben,{PUBLIC}", f"cn=eva,{PUBLIC}"}
        assert client.verify() == []


def test_what_is_gone_before_it_is_read_again(place: Place, tmp_path: Path) -> None:
    """Nobody reads while entries are added, changed, renamed with all below them, and deleted."""
    recorder = Recorder()
    with place.follow(tmp_path, recorder, READER) as client:
        poll_until(client, recorder, "refresh_done")
        group = f"ou=group,{PUBLIC}"
        place.add(group, {"objectClass": [b"organizationalUnit"]})
        for number in range(5):
            name = place.person(f"short{number}", PUBLIC)
            place.change(name, "sn", b"changed")
            place.admin.delete_s(name)
            name = place.person(f"moving{number}", PUBLIC)
            place.change(name, "sn", b"changed")
            place.admin.rename_s(name, f"cn=moved{number}", group)
            place.change(f"cn=moved{number},{group}", "sn", b"again")
        place.change(f"cn=ada,{PUBLIC}", "sn", b"changed")
        place.admin.rename_s(f"cn=ada,{PUBLIC}", "cn=eva", group)
        place.admin.rename_s(group, "ou=others")
        place.settle(client, recorder)
        others = f"ou=others,{PUBLIC}"
        assert recorder.mirror.keys() == {
            PUBLIC, others, f"cn=eva,{others}", *(f"cn=moved{each},{others}" for each in range(5)),
        }  # fmt: skip
        assert client.verify() == []


TOGETHER = pytest.mark.parametrize(
    "together", [1, rereading.GROUP_MESSAGES], ids=["one by one", "together"]
)


@TOGETHER
def test_below_a_new_one_that_is_renamed_before_it_is_read_again(
    place: Place, together: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the nsUniqueId is hidden, neither is found by its old name, nor by any other."""
    monkeypatch.setattr(rereading, "GROUP_MESSAGES", together)
    recorder = Recorder()
    with place.follow(tmp_path, recorder, READER) as client:
        poll_until(client, recorder, "refresh_done")
        others = place.renamed_group(PUBLIC)
        place.settle(client, recorder)
        assert recorder.mirror.keys() == {
            PUBLIC, f"cn=ada,{PUBLIC}", others, f"cn=eva,{others}",
        }  # fmt: skip
        assert client.verify() == []


@TOGETHER
def test_hidden_entries_below_a_hidden_one_are_ignored(
    place: Place, together: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rereading, "GROUP_MESSAGES", together)
    recorder = Recorder()
    with place.follow(tmp_path, recorder, READER) as client:
        poll_until(client, recorder, "refresh_done")
        recorder.clear()
        others = place.renamed_group(SECRET)
        place.change(f"cn=eva,{others}", "sn", b"new")
        place.settle(client, recorder)
        assert recorder.changes == []
        assert not recorder.of("refresh_done")  # no search without a cookie
