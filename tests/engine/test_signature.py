import json
import shutil

import pytest

pytest.importorskip("cryptography")

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from tests.engine.test_artifact import ENGINE, MANIFEST
from trtforge._files import sha256
from trtforge.cli import main
from trtforge.engine import Engine
from trtforge.engine.artifact import sign_engine
from trtforge.engine.signature import Signature, key_id, read_public_key, trust
from trtforge.errors import ConfigError, EngineIntegrityError, EngineSignatureError, MissingExtraError


def make_keys(folder, name, kind=ed25519.Ed25519PrivateKey.generate, password=None):
    """Write NAME.pem and NAME.pub.pem; return their paths."""
    key, encoding = kind(), serialization.Encoding.PEM
    secret = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    private.write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, secret))
    public.write_bytes(
        key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public


@pytest.fixture
def keys(tmp_path):
    return make_keys(tmp_path, "mine")


@pytest.fixture
def signed(tmp_path, keys):
    path = tmp_path / "asr.engine"
    ENGINE.save(path, signing_key=keys[0])
    return path


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch):
    monkeypatch.delenv("TRTFORGE_REQUIRE_SIGNATURE", raising=False)
    monkeypatch.delenv("TRTFORGE_TRUSTED_KEYS", raising=False)


def load(path, *public, **given):
    return Engine.load(path, check_machine=False, trusted_keys=public or None, **given)


def test_a_signed_engine_comes_back(signed, keys):
    assert load(signed, keys[1]) == load(signed) == ENGINE
    record = json.loads((signed.parent / "asr.engine.sig").read_text())
    assert record["format"] == "trtforge.signature/1"
    assert bytes.fromhex(record["public_key"]) == read_public_key(keys[1])


def test_an_unsigned_engine_is_refused_where_a_signature_is_required(tmp_path, keys, monkeypatch):
    ENGINE.save(tmp_path / "asr.engine")
    for given in ({}, {"require_signature": True}):
        with pytest.raises(
            EngineSignatureError, match=r"asr\.engine is not signed, and a signature is required"
        ):
            load(tmp_path / "asr.engine", keys[1], **given)
    assert load(tmp_path / "asr.engine", keys[1], require_signature=False) == ENGINE
    monkeypatch.setenv("TRTFORGE_REQUIRE_SIGNATURE", "1")
    with pytest.raises(EngineSignatureError, match="trtforge sign ENGINE --key PEM"):
        load(tmp_path / "asr.engine", keys[1], require_signature=False)
    with pytest.raises(ConfigError, match="a signature is required of every engine, and no key is trusted"):
        load(tmp_path / "asr.engine")
    monkeypatch.setenv("TRTFORGE_TRUSTED_KEYS", str(keys[1]))
    with pytest.raises(EngineSignatureError, match="is not signed"):
        load(tmp_path / "asr.engine")
    sign_engine(tmp_path / "asr.engine", keys[0])
    assert load(tmp_path / "asr.engine") == ENGINE


def test_a_key_that_is_not_trusted_is_named(signed, keys, tmp_path):
    _, other = make_keys(tmp_path, "other")
    mine, theirs = (key_id(read_public_key(path)) for path in (keys[1], other))
    with pytest.raises(
        EngineSignatureError, match=f"by key {mine}, which is not trusted; trusted are {theirs}"
    ):
        load(signed, other)
    assert load(signed, other, keys[1]) == ENGINE


def test_whatever_is_changed_after_signing_is_refused(signed, keys, tmp_path):
    forged = Engine(b"other", _manifest_of(b"other"))
    forged.save(tmp_path / "forged.engine")
    shutil.copy(f"{signed}.sig", tmp_path / "forged.engine.sig")
    with pytest.raises(EngineSignatureError, match=r"is bad: its manifest is not what key .* signed"):
        load(tmp_path / "forged.engine", keys[1])
    signature = Signature.loads((tmp_path / "asr.engine.sig").read_bytes(), source="it")
    flipped = bytes([signature.signature[0] ^ 1]) + signature.signature[1:]
    (tmp_path / "asr.engine.sig").write_bytes(Signature(signature.public_key, flipped).dumps())
    with pytest.raises(EngineSignatureError, match="is bad"):
        load(signed, keys[1])
    for content in (b"", b"[]", b"{}", b'{"format": "trtforge.signature/1", "algorithm": "none"}'):
        (tmp_path / "asr.engine.sig").write_bytes(content)
        with pytest.raises(EngineSignatureError, match=r"asr\.engine\.sig is no signature file"):
            load(signed, keys[1])
    sign_engine(signed, keys[0])
    signed.write_bytes(b"x" * len(ENGINE.plan))
    with pytest.raises(EngineIntegrityError, match="the plan was altered"):
        load(signed, keys[1])


def test_saving_without_a_key_takes_the_old_signature_away(signed):
    ENGINE.save(signed)
    assert not (signed.parent / "asr.engine.sig").exists()


def test_a_damaged_engine_is_not_signed(signed, keys):
    signed.write_bytes(b"x" * len(ENGINE.plan))
    with pytest.raises(EngineIntegrityError, match="the plan was altered"):
        sign_engine(signed, keys[0])


def test_keys_that_cannot_be_used_are_named(tmp_path, signed, keys, monkeypatch):
    with pytest.raises(
        ConfigError, match=r"no private key at .*none\.pem\n.*openssl genpkey -algorithm ed25519"
    ):
        ENGINE.save(tmp_path / "b.engine", signing_key=tmp_path / "none.pem")
    with pytest.raises(ConfigError, match=r"mine\.pub\.pem holds no private key that can be read"):
        sign_engine(signed, keys[1])
    with pytest.raises(ConfigError, match=r"mine\.pem holds no public key that can be read"):
        load(signed, keys[0])
    with pytest.raises(ConfigError, match=r"no public key at .*none\.pem\n.*openssl pkey -in key.pem"):
        trust([tmp_path / "none.pem"], None)
    for lone in (keys[1], str(keys[1])):
        with pytest.raises(
            ConfigError, match=r"trusted_keys must be a list of PEM files, got '.*\.pub\.pem'"
        ):
            trust(lone, None)
    curve, _ = make_keys(tmp_path, "curve", lambda: ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(ConfigError, match="holds a key of another kind than Ed25519"):
        sign_engine(signed, curve)
    secret, _ = make_keys(tmp_path, "secret", password=b"word")
    with pytest.raises(ConfigError, match="a PEM file without a password is needed"):
        sign_engine(signed, secret)
    monkeypatch.setenv("TRTFORGE_REQUIRE_SIGNATURE", "maybe")
    with pytest.raises(ConfigError, match="TRTFORGE_REQUIRE_SIGNATURE must be 1 or 0, got 'maybe'"):
        trust(None, None)
    assert not (tmp_path / "b.engine").exists()


def test_a_missing_package_is_named(signed, keys, monkeypatch):
    monkeypatch.setattr(
        "trtforge.engine.signature.require", lambda module, purpose: _missing(module, purpose)
    )
    assert load(signed) == ENGINE
    with pytest.raises(MissingExtraError, match="to sign engines and check signatures"):
        load(signed, keys[1])


def test_the_commands_sign_and_show(signed, keys, tmp_path, capsys, monkeypatch):
    ENGINE.save(signed)
    assert main(["inspect", str(signed)]) == 0
    assert "signature" in capsys.readouterr().out
    assert main(["sign", str(signed), "--key", str(keys[0])]) == 0
    mine = key_id(read_public_key(keys[1]))
    assert mine in capsys.readouterr().out
    assert main(["inspect", str(signed)]) == 0
    assert f"by key {mine}, not among the trusted keys" in " ".join(capsys.readouterr().out.split())
    monkeypatch.setenv("TRTFORGE_TRUSTED_KEYS", str(keys[1]))
    assert main(["inspect", str(signed)]) == 0
    assert f"by key {mine}, trusted" in " ".join(capsys.readouterr().out.split())
    assert main(["sign", str(signed), "--key", str(tmp_path / "none.pem")]) == 2
    assert "no private key at" in capsys.readouterr().err


def _manifest_of(plan):
    import dataclasses

    return dataclasses.replace(MANIFEST, plan_sha256=sha256(plan), plan_bytes=len(plan))


def _missing(module, purpose):
    raise MissingExtraError(f"{module} is needed to {purpose}, and it is not installed")
