"""What may be written as storage, and what is said of the rest."""

from __future__ import annotations

import pytest

from ray_hpo.errors import InvalidInput
from ray_hpo.remote.uri import Uri, is_remote, without_file_scheme


@pytest.mark.parametrize(
    ("text", "shown", "name"),
    [
        ("s3://bucket", "s3://bucket/", "bucket"),
        ("s3://bucket//a//b/", "s3://bucket/a/b", "b"),
        ("S3://bucket/a?region=eu-west-1", "s3://bucket/a?region=eu-west-1", "a"),
        ("gs://bucket/ä b", "gs://bucket/ä b", "ä b"),
        ("hdfs://host:8020/a/b", "hdfs://host:8020/a/b", "b"),
    ],
)
def test_what_is_understood(text: str, shown: str, name: str) -> None:
    uri = Uri.parse(text)
    assert (str(uri), uri.name) == (shown, name)
    assert Uri.parse(str(uri)) == uri
    assert str(uri / "x").partition("?")[0].endswith(f"{uri.path and '/'}{uri.path}/x")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("s4://bucket/a", "unknown scheme 's4'; there are s3, gs"),
        ("s3:///a", "names no bucket: write s3://BUCKET/PATH"),
        ("s3://bucket/a?endpoint=x", "unknown option 'endpoint'; did you mean endpoint_override?"),
        ("s3://bucket/../a", "'.' and '..' mean nothing there"),
        ("s3://bucket/a#b", "'#' cannot be part of it"),
        ("s3://key:secret@bucket/a", "holds credentials"),
        ("s3://bucket/a?access_key=key&secret_key=secret", "holds credentials"),
        ("s3://key%2F:sec%2Fret@bucket/a", "holds credentials"),
    ],
)
def test_mistakes(text: str, says: str) -> None:
    with pytest.raises(InvalidInput) as error:
        Uri.parse(text)
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert "secret@" not in str(error.value) and "=secret" not in str(error.value)


def test_which_paths_are_remote() -> None:
    assert is_remote("s3://bucket/a") and is_remote("other://x")
    assert not any(map(is_remote, ("~/a", "/a//b", "a:b", "file:///a", None, 3)))
    assert without_file_scheme("file:///a/b") == "/a/b"
    assert without_file_scheme("/a") == "/a"


def test_the_endpoint_of_the_environment_goes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    uri = Uri.parse("s3://bucket/a?region=us-east-1")
    assert uri.told_endpoint() is uri
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000/")
    assert uri.told_endpoint().options == {
        "region": "us-east-1",
        "endpoint_override": "127.0.0.1:9000",
        "scheme": "http",
    }
    given = Uri.parse("s3://bucket/a?endpoint_override=other:1")
    assert given.told_endpoint() is given
    assert uri.slug == Uri.parse("s3://bucket//a/?endpoint_override=127.0.0.1:9000&scheme=http").slug
    assert uri.slug != given.slug
    google = Uri.parse("gs://bucket/a")
    assert google.told_endpoint() is google
