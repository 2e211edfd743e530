"""Ed25519 signatures of engine manifests: who built an engine, beside what was built."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from trtforge._files import json_bytes, sha256
from trtforge._optional import require
from trtforge.errors import ConfigError, EngineSignatureError

FORMAT = "trtforge.signature/1"
REQUIRE_VARIABLE = "TRTFORGE_REQUIRE_SIGNATURE"
KEYS_VARIABLE = "TRTFORGE_TRUSTED_KEYS"

# What is signed begins with these bytes, so that no signature made for another purpose can pass for one.
_CONTEXT = b"trtforge engine manifest\n"
_MAX_FILE_BYTES = 1 << 16
_KEY_BYTES, _SIGNATURE_BYTES = 32, 64
_SIGN = "sign it with trtforge sign ENGINE --key PEM, or build it again"
_MAKE_KEYS = {
    "private": "make one by: openssl genpkey -algorithm ed25519 -out key.pem",
    "public": "take it from the private key by: openssl pkey -in key.pem -pubout -out key.pub.pem",
}

PathLike: TypeAlias = "str | os.PathLike[str]"


@dataclass(frozen=True)
class Signature:
    """What a signature file holds.

    Parameters
    ----------
    public_key : of the signer, 32 bytes.
    signature : of the manifest's bytes, 64 bytes.

    References
    ----------
    S. Josefsson, I. Liusvaara, "Edwards-Curve Digital Signature Algorithm (EdDSA)", RFC 8032, 2017.
    """

    public_key: bytes
    signature: bytes

    @property
    def key_id(self) -> str:
        """Short name of the signer's key: the first 16 digits of its SHA-256."""
        return key_id(self.public_key)

    def dumps(self) -> bytes:
        """Return the content of a signature file."""
        return json_bytes(
            {
                "format": FORMAT,
                "algorithm": "ed25519",
                "public_key": self.public_key.hex(),
                "signature": self.signature.hex(),
            }
        )

    @classmethod
    def loads(cls, content: bytes, *, source: str) -> Signature:
        """Read what `dumps` gave.

        Raises
        ------
        EngineSignatureError : it is no signature file.
        """
        try:
            record = json.loads(content)
            if record["format"] != FORMAT or record["algorithm"] != "ed25519":
                raise ValueError(f"format {record['format']!r}, algorithm {record['algorithm']!r}")
            found = cls(bytes.fromhex(record["public_key"]), bytes.fromhex(record["signature"]))
            if (len(found.public_key), len(found.signature)) != (_KEY_BYTES, _SIGNATURE_BYTES):
                raise ValueError(f"{len(found.public_key)} and {len(found.signature)} bytes")
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise EngineSignatureError(f"{source} is no signature file: {error!r}", hint=_SIGN) from error
        return found


@dataclass(frozen=True)
class Trust:
    """Whose engines are taken.

    Parameters
    ----------
    keys : raw public keys, 32 bytes each; where there are none, signatures are not looked at.
    required : whether an engine without a signature is refused.
    """

    keys: tuple[bytes, ...] = ()
    required: bool = False


def trust(trusted_keys: Sequence[PathLike] | None, require_signature: bool | None) -> Trust:
    """Decide whose engines are taken, from arguments and environment.

    Parameters
    ----------
    trusted_keys : PEM files of public keys; None takes those that ``TRTFORGE_TRUSTED_KEYS`` names, separated
        as in PATH.
    require_signature : whether a signature is required; None requires one where ``trusted_keys`` is given.
        Where ``TRTFORGE_REQUIRE_SIGNATURE`` is 1, one is required whatever is said here.

    Raises
    ------
    ConfigError : a signature is required and no key is trusted, a key cannot be read, or a variable is
        malformed.
    MissingExtraError : there are keys to read, and cryptography is not installed.
    """
    if isinstance(trusted_keys, str | os.PathLike):
        raise ConfigError(
            f"trusted_keys must be a list of PEM files, got {os.fspath(trusted_keys)!r}",
            hint="put the one into a list",
            settings=("trusted_keys",),
        )
    wanted = trusted_keys is not None if require_signature is None else require_signature
    required = _required_everywhere() or wanted
    named = [path for path in os.environ.get(KEYS_VARIABLE, "").split(os.pathsep) if path]
    keys = tuple(read_public_key(path) for path in (named if trusted_keys is None else trusted_keys))
    if required and not keys:
        raise ConfigError(
            "a signature is required of every engine, and no key is trusted",
            hint=f"pass trusted_keys, or name PEM files of public keys in {KEYS_VARIABLE}",
            settings=("trusted_keys", "require_signature"),
        )
    return Trust(keys, required)


def check_signature(manifest: bytes, content: bytes | None, trusted: Trust, *, source: str) -> None:
    """Refuse a manifest that is not signed as is required.

    Parameters
    ----------
    manifest : the manifest's file, byte for byte.
    content : the signature's file, or None where there is none.
    trusted : whose signatures are taken.
    source : the engine, for the message.

    Raises
    ------
    EngineSignatureError : it is unsigned though a signature is required, signed by a key that is not trusted,
        or altered since.
    """
    if not trusted.keys:
        return
    if content is None:
        if trusted.required:
            raise EngineSignatureError(f"{source} is not signed, and a signature is required", hint=_SIGN)
        return
    found = Signature.loads(content, source=f"{source}.sig")
    if found.public_key not in trusted.keys:
        known = ", ".join(map(key_id, trusted.keys))
        raise EngineSignatureError(
            f"{source} is signed by key {found.key_id}, which is not trusted; trusted are {known}",
            hint=f"name the signer's public key in trusted_keys or {KEYS_VARIABLE}, if you trust it",
        )
    if not is_signed(manifest, found):
        raise EngineSignatureError(
            f"the signature of {source} is bad: its manifest is not what key {found.key_id} signed",
            hint=_SIGN,
        )


def sign_manifest(manifest: bytes, signing_key: PathLike) -> Signature:
    """Sign a manifest, and so the plan whose digest it holds.

    Parameters
    ----------
    manifest : the manifest's file, byte for byte.
    signing_key : PEM file of an Ed25519 private key, not encrypted.

    Raises
    ------
    ConfigError : the file holds no such key.
    MissingExtraError : cryptography is not installed.
    """
    key = _load_pem(signing_key, "private")
    return Signature(key.public_key().public_bytes_raw(), key.sign(_CONTEXT + manifest))


def is_signed(manifest: bytes, signature: Signature) -> bool:
    """Say whether the signature's own key made it, of this very manifest; not whether to trust that key."""
    ed25519 = _cryptography("hazmat.primitives.asymmetric.ed25519")
    invalid = _cryptography("exceptions").InvalidSignature
    try:
        public = ed25519.Ed25519PublicKey.from_public_bytes(signature.public_key)
        public.verify(signature.signature, _CONTEXT + manifest)
    except (invalid, ValueError):
        return False
    return True


def read_public_key(path: PathLike) -> bytes:
    """Return the raw public key, 32 bytes, of a PEM file.

    Raises
    ------
    ConfigError : the file holds no Ed25519 public key.
    MissingExtraError : cryptography is not installed.
    """
    return bytes(_load_pem(path, "public").public_bytes_raw())


def read_signature(path: PathLike) -> bytes | None:
    """Return the content of the signature's file of the engine at ``path``, None where there is none."""
    try:
        with signature_path(path).open("rb") as file:
            return file.read(_MAX_FILE_BYTES)
    except FileNotFoundError:
        return None


def signature_path(path: PathLike) -> Path:
    """Return where the signature of the engine at ``path`` lies."""
    return Path(f"{os.fspath(path)}.sig")


def key_id(public_key: bytes) -> str:
    """Return the short name of a public key."""
    return sha256(public_key)[:16]


def _required_everywhere() -> bool:
    value = os.environ.get(REQUIRE_VARIABLE, "").strip().lower()
    if value not in ("", "0", "1", "false", "true", "no", "yes"):
        raise ConfigError(f"{REQUIRE_VARIABLE} must be 1 or 0, got {value!r}")
    return value in ("1", "true", "yes")


def _load_pem(path: PathLike, kind: str) -> Any:
    serialization = _cryptography("hazmat.primitives.serialization")
    try:
        content = Path(path).read_bytes()
        key = (
            serialization.load_pem_private_key(content, password=None)
            if kind == "private"
            else serialization.load_pem_public_key(content)
        )
    except FileNotFoundError:
        raise ConfigError(f"no {kind} key at {os.fspath(path)}", hint=_MAKE_KEYS[kind]) from None
    except (OSError, ValueError, TypeError, _cryptography("exceptions").UnsupportedAlgorithm) as error:
        raise ConfigError(
            f"{os.fspath(path)} holds no {kind} key that can be read: {error}",
            hint=f"a PEM file without a password is needed; {_MAKE_KEYS[kind]}",
        ) from error
    ed25519 = _cryptography("hazmat.primitives.asymmetric.ed25519")
    if not isinstance(key, getattr(ed25519, f"Ed25519{kind.capitalize()}Key")):
        raise ConfigError(
            f"{os.fspath(path)} holds a key of another kind than Ed25519", hint=_MAKE_KEYS[kind]
        )
    return key


def _cryptography(module: str) -> Any:
    return require(f"cryptography.{module}", "sign engines and check signatures")
