#!/usr/bin/env python3
"""A second implementation of PQXDH, the Double Ratchet and the session messages, written from docs/PROTOCOL.md.

It plays conversations with fixed randomness and writes what every step must give to session.json, against which
crypto/tests/vectors.rs tests the Rust code. ML-KEM's key, ciphertext and shared secret are given (kem.json); where the
installed `cryptography` knows ML-KEM-768 they are checked here too.

    pip install cryptography
    python3 crypto/vectors/generate.py            # writes session.json
    python3 crypto/vectors/generate.py --check    # fails when session.json differs
"""

import hashlib
import hmac
import json
import pathlib
import struct
import sys

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

HERE = pathlib.Path(__file__).parent
P = 2**255 - 19

KDF_PQXDH = b"subrosa/1 pqxdh_CURVE25519_SHA-256_ML-KEM-768"
HASH_PQXDH_TRANSCRIPT = b"subrosa/1 hash pqxdh transcript"
KDF_SESSION = b"subrosa/1 kdf session"
KDF_ROOT_CHAIN = b"subrosa/1 kdf root chain"
KDF_CHAIN_KEY = b"subrosa/1 kdf chain key"
KDF_MESSAGE_KEY = b"subrosa/1 kdf message key"
KDF_MESSAGE_AEAD = b"subrosa/1 kdf message aead"
AEAD_SESSION_MESSAGE = b"subrosa/1 aead session message"

MAX_SKIP = 1000


# --- primitives -------------------------------------------------------------------------------------------------


def u16(n):
    return struct.pack("<H", n)


def u32(n):
    return struct.pack("<I", n)


def u64(n):
    return struct.pack("<Q", n)


def str8(text):
    data = text.encode()
    return bytes([len(data)]) + data


def sha256(data):
    return hashlib.sha256(data).digest()


def h(label, data):
    return sha256(label + b"\0" + data)


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def hkdf(salt, ikm, info, n):
    prk = mac(salt, ikm)
    out, block, i = b"", b"", 1
    while len(out) < n:
        block = mac(prk, block + info + bytes([i]))
        out, i = out + block, i + 1
    return out[:n]


def public(secret):
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def dh(secret, theirs):
    if int.from_bytes(theirs, "little") >= P:
        raise ValueError("not canonical")
    out = X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(theirs))
    if out == bytes(32):
        raise ValueError("not contributory")
    return out


def encode_ec(key):
    return b"\x05" + key


def encode_kem(key):
    return b"\x0a" + key


# --- PQXDH ------------------------------------------------------------------------------------------------------


def device(d):
    return str8(d["account"]) + d["account_key"] + u32(d["device_id"]) + encode_ec(public(d["identity"]))


def shared_secret(dhs, ss):
    return hkdf(bytes(32), b"\xff" * 32 + b"".join(dhs) + ss, KDF_PQXDH, 32)


def associated_data(alice, bob, params, spk, opk, kem_key):
    ad = u16(1) + device(alice) + device(bob)
    ad += encode_ec(params["base_key"]) + u64(params["created_at"])
    ad += u32(params["signed_prekey_id"]) + encode_ec(spk)
    if opk is None:
        ad += b"\0"
    else:
        ad += b"\1" + u32(params["one_time_id"]) + encode_ec(opk)
    ad += bytes([params["kem_type"]]) + u32(params["kem_id"])
    ad += encode_kem(kem_key) + sha256(encode_kem(kem_key)) + sha256(params["ciphertext"])
    return ad


def encode_params(p):
    one_time = (b"\0" + u32(0)) if p["one_time_id"] is None else (b"\1" + u32(p["one_time_id"]))
    return (
        p["base_key"]
        + u64(p["created_at"])
        + u32(p["signed_prekey_id"])
        + one_time
        + bytes([p["kem_type"]])
        + u32(p["kem_id"])
        + p["ciphertext"]
    )


# --- Double Ratchet ---------------------------------------------------------------------------------------------


def kdf_rk(rk, out):
    block = hkdf(rk, out, KDF_ROOT_CHAIN, 64)
    return block[:32], block[32:]


def kdf_ck(ck):
    return mac(ck, KDF_CHAIN_KEY), mac(ck, KDF_MESSAGE_KEY)


def aead_key(mk, salt):
    block = hkdf(salt, mk, KDF_MESSAGE_AEAD, 44)
    return block[:32], block[32:]


class Ratchet:
    def __init__(self, transcript, rk, secret):
        self.transcript, self.rk, self.secret = transcript, rk, secret
        self.sending, self.ns, self.pn = None, 0, 0
        self.theirs, self.receiving, self.nr = None, None, 0
        self.skipped = {}

    @classmethod
    def initiator(cls, transcript, rk, theirs, secret):
        self = cls(transcript, rk, secret)
        self.rk, self.sending = kdf_rk(rk, dh(secret, theirs))
        return self

    def encrypt(self, start, plaintext, salt):
        self.sending, mk = kdf_ck(self.sending)
        before = start + public(self.secret) + u32(self.pn) + u32(self.ns) + salt + u16(0)
        self.ns += 1
        key, nonce = aead_key(mk, salt)
        associated = AEAD_SESSION_MESSAGE + b"\0" + self.transcript + before
        return before + ChaCha20Poly1305(key).encrypt(nonce, plaintext, associated)

    def skip(self, until):
        assert until - self.nr <= MAX_SKIP
        while self.nr < until:
            self.receiving, mk = kdf_ck(self.receiving)
            self.skipped[self.theirs, self.nr] = mk
            self.nr += 1

    def decrypt(self, message, header_at, fresh):
        """`fresh()` gives the new ratchet secret when one is needed."""
        header, end = message[header_at:], header_at + 58
        theirs, (pn, n), salt = header[:32], struct.unpack("<II", header[32:40]), header[40:56]
        assert header[56:58] == u16(0)
        if (theirs, n) in self.skipped:
            mk = self.skipped.pop((theirs, n))
        else:
            if theirs != self.theirs:
                if self.theirs is not None:
                    self.skip(pn)
                self.rk, receiving = kdf_rk(self.rk, dh(self.secret, theirs))
                self.theirs, self.receiving, self.nr = theirs, receiving, 0
                self.pn, self.ns = self.ns, 0
                self.secret = fresh()
                self.rk, self.sending = kdf_rk(self.rk, dh(self.secret, theirs))
            self.skip(n)
            self.receiving, mk = kdf_ck(self.receiving)
            self.nr += 1
        key, nonce = aead_key(mk, salt)
        associated = AEAD_SESSION_MESSAGE + b"\0" + self.transcript + message[:end]
        return ChaCha20Poly1305(key).decrypt(nonce, message[end:], associated)


# --- the vectors ------------------------------------------------------------------------------------------------


class Side:
    def __init__(self, ratchet, session_id, params):
        self.ratchet, self.session_id, self.params = ratchet, session_id, params

    def start(self):
        if self.params is not None:
            return b"\x01\x01" + encode_params(self.params)
        return b"\x02\x01" + self.session_id

    def decrypt(self, message, fresh):
        header_at = {1: 1144, 2: 18}[message[0]]
        plaintext = self.ratchet.decrypt(message, header_at, fresh)
        self.params = None
        return plaintext


def case(name, kem, one_time, kem_type, script):
    def secret(what):
        return sha256(f"{name}: {what}".encode())

    alice = {"account": "alice", "account_key": secret("alice account"), "device_id": 1, "identity": secret("alice")}
    bob = {"account": "bob_2", "account_key": secret("bob account"), "device_id": 7, "identity": secret("bob")}
    spk, opk = secret("signed prekey"), secret("one-time prekey") if one_time else None
    ephemeral = secret("ephemeral")
    params = {
        "base_key": public(ephemeral),
        "created_at": 1_760_000_000_000,
        "signed_prekey_id": 0x01020304,
        "one_time_id": 0x11121314 if one_time else None,
        "kem_type": kem_type,
        "kem_id": 0x21222324,
        "ciphertext": kem["ciphertext"],
    }

    # Alice.
    dhs = [
        dh(alice["identity"], public(spk)),
        dh(ephemeral, public(bob["identity"])),
        dh(ephemeral, public(spk)),
    ]
    # Bob, from his secrets.
    others = [
        dh(spk, public(alice["identity"])),
        dh(bob["identity"], public(ephemeral)),
        dh(spk, public(ephemeral)),
    ]
    if one_time:
        dhs.append(dh(ephemeral, public(opk)))
        others.append(dh(opk, public(ephemeral)))
    assert dhs == others
    sk = shared_secret(dhs, kem["shared"])
    ad = associated_data(alice, bob, params, public(spk), public(opk) if one_time else None, kem["public"])
    transcript = h(HASH_PQXDH_TRANSCRIPT, ad)
    block = hkdf(transcript, sk, KDF_SESSION, 48)
    root, session_id = block[:32], block[32:]

    first_ratchet = secret("alice ratchet 0")
    sides = {
        "alice": Side(Ratchet.initiator(transcript, root, public(spk), first_ratchet), session_id, params),
        "bob": Side(Ratchet(transcript, root, spk), session_id, None),
    }

    steps, sent = [], {}
    for number, (who, what, which) in enumerate(script):
        side = sides[who]
        if what == "send":
            salt = secret(f"salt {number}")[:16]
            plaintext = f"{name}, message {which}".encode() * (number + 1)
            message = side.ratchet.encrypt(side.start(), plaintext, salt)
            sent[which] = (message, plaintext)
            steps.append({"side": who, "do": "send", "random": salt, "plaintext": plaintext, "message": message})
        else:
            message, plaintext = sent[which]
            drawn = []

            def fresh():
                drawn.append(secret(f"ratchet {number}"))
                return drawn[0]

            assert side.decrypt(message, fresh) == plaintext
            random = b"".join(drawn)
            steps.append(
                {"side": who, "do": "receive", "random": random, "plaintext": plaintext, "message": message}
            )

    return {
        "name": name,
        "alice": alice,
        "bob": bob,
        "signed_prekey": spk,
        "one_time_prekey": opk,
        "kem_type": kem_type,
        "ids": {k: params[k] for k in ("signed_prekey_id", "one_time_id", "kem_id")},
        "now": params["created_at"],
        "initiate_random": ephemeral + kem["m"] + first_ratchet,
        "shared_secret": sk,
        "associated_data": ad,
        "transcript": transcript,
        "session_id": session_id,
        "steps": steps,
    }


def check_kem(kem):
    try:
        from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

        key = MLKEM768PrivateKey.from_seed_bytes(kem["seed"])
    except Exception as reason:  # an older `cryptography`, or one built without ML-KEM
        print(f"ML-KEM-768 not checked: {reason}", file=sys.stderr)
        return
    assert key.public_key().public_bytes_raw() == kem["public"]
    assert key.decapsulate(kem["ciphertext"]) == kem["shared"]


def to_json(value):
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {k: to_json(v) for k, v in value.items()}
    if isinstance(value, list):
        return [to_json(v) for v in value]
    return value


def main():
    kem = {k: bytes.fromhex(v) for k, v in json.loads((HERE / "kem.json").read_text()).items()}
    check_kem(kem)

    s, r = "send", "receive"
    in_turn = [("alice", s, 0), ("bob", r, 0), ("bob", s, 1), ("alice", r, 1), ("alice", s, 2), ("bob", r, 2)]
    out_of_order = [
        # Three before the first reply; the second arrives first.
        ("alice", s, 0), ("alice", s, 1), ("alice", s, 2), ("bob", r, 1),
        ("bob", s, 3), ("bob", s, 4), ("alice", r, 4),
        ("alice", s, 5), ("alice", s, 6), ("bob", r, 6), ("bob", r, 0), ("bob", r, 2), ("bob", r, 5),
        ("alice", r, 3), ("bob", s, 7), ("alice", r, 7), ("alice", s, 8), ("bob", r, 8),
    ]  # fmt: skip
    far_ahead = [("alice", s, n) for n in range(30)] + [("bob", r, 29), ("bob", s, 30), ("bob", r, 3), ("alice", r, 30)]
    cases = [
        case("one-time prekeys", kem, True, 0x04, in_turn),
        case("last resort", kem, False, 0x03, in_turn),
        case("one-time x25519, last-resort kem, out of order", kem, True, 0x03, out_of_order),
        case("far ahead", kem, False, 0x04, far_ahead),
    ]
    text = json.dumps(to_json(cases), indent=1) + "\n"
    path = HERE / "session.json"
    if "--check" in sys.argv:
        sys.exit(0 if path.read_text() == text else "session.json differs from what this program makes")
    path.write_text(text)


if __name__ == "__main__":
    main()
