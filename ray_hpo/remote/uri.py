"""Where remote storage is, as text: s3://bucket/path?endpoint_override=host:port. Nothing is opened here."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, urlencode, urlsplit

from ray_hpo.errors import InvalidInput, near_matches

SCHEMES = ("s3", "gs", "gcs", "abfs", "abfss", "hdfs", "viewfs")
S3_OPTIONS = (
    "region",
    "scheme",
    "endpoint_override",
    "tls_ca_file_path",
    "anonymous",
    "allow_bucket_creation",
    "force_virtual_addressing",
)
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")  # as all of AWS's tools have them, the first one first


@dataclass(frozen=True)
class Uri:
    """scheme://host/path?query; host is the bucket, path has no slash at its ends."""

    scheme: str
    host: str
    path: str
    query: str = ""

    @classmethod
    def parse(cls, text: str, field: str = "storage") -> Uri:
        """
        Raises:
            InvalidInput: a scheme that pyarrow.fs does not know, no bucket, an unknown option, or credentials.
        """
        said = f"{field}={_hidden(text)!r}"
        parts = urlsplit(text)
        scheme = parts.scheme.lower()
        if scheme not in SCHEMES:
            raise InvalidInput(
                f"{said}: unknown scheme {scheme!r}; there are {', '.join(SCHEMES)}, and plain paths of folders"
            )
        if not parts.netloc and scheme not in ("hdfs", "viewfs"):
            raise InvalidInput(f"{said} names no bucket: write {scheme}://BUCKET/PATH")
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        secret = scheme == "s3" and ("@" in parts.netloc or {"access_key", "secret_key"} & options.keys())
        if secret or (":" in parts.netloc.partition("@")[0] and "@" in parts.netloc):
            raise InvalidInput(
                f"{said} holds credentials, which would end up in journals and logs: leave them out, and set "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machines a role"
            )
        if parts.fragment:
            raise InvalidInput(f"{said}: '#' cannot be part of it")
        for name in options if scheme == "s3" else ():
            if name not in S3_OPTIONS:
                raise InvalidInput(f"{said}: unknown option {name!r}; {near_matches(name, S3_OPTIONS)}")
        path = re.sub("/+", "/", parts.path).strip("/")
        if {".", ".."} & {*path.split("/")}:
            raise InvalidInput(f"{said}: '.' and '..' mean nothing there; leave them out")
        return cls(scheme, parts.netloc, path, parts.query)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}/{self.path}{self.query and '?'}{self.query}"

    def __truediv__(self, name: str) -> Uri:
        return replace(self, path=f"{self.path}/{name}".strip("/"))

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2] or self.host

    @property
    def options(self) -> dict[str, str]:
        return dict(parse_qsl(self.query, keep_blank_values=True))

    @property
    def bare(self) -> str:
        """Without options, for people."""
        return str(replace(self, query=""))

    @property
    def quoted(self) -> str:
        """As it is typed into a shell."""
        return shlex.quote(str(self))

    def told_endpoint(self) -> Uri:
        """With the endpoint that this machine's environment names, for machines whose environment may be another."""
        named = next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), "")
        if self.scheme != "s3" or not named or "endpoint_override" in self.options:
            return self
        scheme, _, endpoint = named.rpartition("://")
        options = {**self.options, "endpoint_override": endpoint.rstrip("/"), "scheme": scheme or "https"}
        return replace(self, query=urlencode(options, safe=":/"))

    @property
    def slug(self) -> str:
        """A folder's name of its own for this experiment, whatever the spelling of its options."""
        endpoint = self.told_endpoint().options.get("endpoint_override", "")
        identity = "\n".join((self.scheme, endpoint.rpartition("://")[2], self.host, self.path))
        return f"{self.name}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"


def is_remote(path: object) -> bool:
    """Whether `path` is a URI rather than the path of a folder."""
    return isinstance(path, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", path) is not None and not _is_file(path)


def without_file_scheme(path: str) -> str:
    """A plain path of file:///path; any other as it is."""
    return path[len("file://") :] if _is_file(path) else path


def _is_file(path: str) -> bool:
    return path.lower().startswith("file:///")


def _hidden(text: str) -> str:
    """Without what may be a password."""
    text = re.sub(r"://[^/@]*@", "://***@", text)
    return re.sub(r"(access_key|secret_key)=[^&]*", r"\1=***", text)
