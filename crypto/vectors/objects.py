#!/usr/bin/env python3
"""A second implementation of the objects that are signed, hashed, sealed or stored, written from docs/PROTOCOL.md.

Prints objects.json, which the tests of subrosa-verify and subrosa-crypto compare with:

    python3 objects.py > objects.json

Needs the Python package `cryptography` 45 or later.
"""

import hashlib
import hmac
import json
import struct

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

DAY = 24 * 60 * 60 * 1000


class Rng:
    """The generator of the tests: SHA-256(seed u64 | counter u64), block after block."""

    def __init__(self, seed):
        self.seed, self.counter, self.ready = seed, 0, b""

    def take(self, n):
        while len(self.ready) < n:
            self.ready += hashlib.sha256(struct.pack("<QQ", self.seed, self.counter)).digest()
            self.counter += 1
        out, self.ready = self.ready[:n], self.ready[n:]
        return out


def u32(n):
    return struct.pack("<I", n)


def u64(n):
    return struct.pack("<Q", n)


def str8(text):
    return bytes([len(text)]) + text.encode()


def labelled(label, message):
    return b"subrosa/1 " + label.encode() + b"\0" + message


def hkdf(ikm, info, length=32, salt=b"\0" * 32):
    prk = hmac.new(salt, ikm, hashlib.sha256).digest()
    return hkdf_expand(prk, info, length)


def hkdf_expand(prk, info, length):
    out, block, i = b"", b"", 1
    while len(out) < length:
        block = hmac.new(prk, block + info + bytes([i]), hashlib.sha256).digest()
        out, i = out + block, i + 1
    return out[:length]


def ed_public(secret):
    return Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def ed_sign(secret, label, message):
    return Ed25519PrivateKey.from_private_bytes(secret).sign(labelled(label, message))


def x_public(secret):
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


class Device:
    def __init__(self, rng):
        self.identity, self.sealing, self.signing = rng.take(32), rng.take(32), rng.take(32)

    def entry(self, device_id, added_at):
        keys = x_public(self.identity) + x_public(self.sealing) + ed_public(self.signing)
        return u32(device_id) + keys + u64(added_at)


def device_list(account, account_key, version, prev_hash, next_device_id, entries):
    head = b"\x01" + str8(account) + account_key + u64(version) + prev_hash + u32(next_device_id)
    return head + bytes([len(entries)]) + b"".join(entries)


def prekey(kind, key_id, device, account, device_id, now, secret):
    label = {
        1: "sign prekey signed x25519",
        2: "sign prekey one-time x25519",
        3: "sign prekey last-resort ml-kem-768",
        4: "sign prekey one-time ml-kem-768",
    }[kind]
    lifetime = {1: 30, 2: 90, 3: 30, 4: 90}[kind] * DAY
    if kind in (3, 4):
        key = MLKEM768PrivateKey.from_seed_bytes(secret).public_key().public_bytes_raw()
    else:
        key = x_public(secret)
    unsigned = bytes([kind]) + u32(key_id) + u64(now) + u64(now + lifetime) + key
    return unsigned + ed_sign(device.signing, label, unsigned + str8(account) + u32(device_id))


def binding(sender, recipient, conversation, message_id, counter, prev_hash, content):
    party = lambda p: str8(p[0]) + p[1] + u32(p[2])
    out = b"\x01" + party(sender)
    out += b"\x01" + party(recipient) if isinstance(recipient[0], str) else b"\x02" + recipient[0] + u32(recipient[1]) + u64(recipient[2])
    if isinstance(conversation, tuple):
        out += b"\x01" + b"".join(str8(name) for name in sorted(conversation, key=str.encode))
    else:
        out += b"\x02" + conversation
    return out + message_id + u64(counter) + prev_hash + content


def hpke_seal(recipient_key, info, aad, plaintext, ikm):
    """RFC 9180, base mode, suite 0x0020 0x0001 0x0003, first message; `ikm` gives the ephemeral key."""
    kem_suite = b"KEM" + struct.pack(">H", 0x0020)
    suite = b"HPKE" + struct.pack(">HHH", 0x0020, 0x0001, 0x0003)

    def extract(salt, suite_id, label, key):
        return hmac.new(salt or b"\0" * 32, b"HPKE-v1" + suite_id + label + key, hashlib.sha256).digest()

    def expand(prk, suite_id, label, context, length):
        return hkdf_expand(prk, struct.pack(">H", length) + b"HPKE-v1" + suite_id + label + context, length)

    ephemeral = expand(extract(b"", kem_suite, b"dkp_prk", ikm), kem_suite, b"sk", b"", 32)
    enc = x_public(ephemeral)
    dh = X25519PrivateKey.from_private_bytes(ephemeral).exchange(X25519PublicKey.from_public_bytes(recipient_key))
    eae = extract(b"", kem_suite, b"eae_prk", dh)
    shared = expand(eae, kem_suite, b"shared_secret", enc + recipient_key, 32)
    context = b"\0" + extract(b"", suite, b"psk_id_hash", b"") + extract(b"", suite, b"info_hash", info)
    secret = extract(shared, suite, b"secret", b"")
    key = expand(secret, suite, b"key", context, 32)
    nonce = expand(secret, suite, b"base_nonce", context, 12)
    return enc + ChaCha20Poly1305(key).encrypt(nonce, plaintext, aad)


def sealed(recipient_key, recipient, recipient_device, sender, sender_device, message, ikm):
    info = labelled("hpke sealed envelope", b"\x01" + struct.pack("<HHH", 0x0020, 0x0001, 0x0003))
    aad = labelled("aead sealed envelope", b"\x01" + str8(recipient) + u32(recipient_device) + recipient_key)
    plaintext = str8(sender).ljust(33, b"\0") + u32(sender_device) + message
    return b"\x01" + hpke_seal(recipient_key, info, aad, plaintext, ikm)


def safety_number(a, key_a, b, key_b):
    def fingerprint(account, key):
        first = struct.pack("<H", 1) + u32(len(account)) + account.encode() + key
        h = hashlib.sha512(labelled("hash safety number", first)).digest()
        for _ in range(5200):
            h = hashlib.sha512(h + key).digest()
        return h

    two = sorted([fingerprint(a, key_a), fingerprint(b, key_b)])
    groups = [f"{int.from_bytes(f[i:i + 5], 'big') % 100000:05}" for f in two for i in range(0, 30, 5)]
    return " ".join(groups), struct.pack("<H", 1) + two[0][:32] + two[1][:32]


def hchacha20(key, nonce):
    """The first and last rows of the ChaCha20 state after 20 rounds, without the final addition."""
    block = Cipher(ChaCha20(key, nonce), None).encryptor().update(b"\0" * 64)
    words = struct.unpack("<16I", block)
    start = struct.unpack("<4I", b"expand 32-byte k") + struct.unpack("<8I", key) + struct.unpack("<4I", nonce)
    words = [(w - s) & 0xFFFFFFFF for w, s in zip(words, start)]
    return struct.pack("<8I", *(words[:4] + words[12:]))


def vault(passphrase, key, salt, nonce):
    header = b"SUBROSAV\x01" + u32(64 * 1024) + u32(3) + u32(1) + salt + nonce
    argon = Argon2id(salt=salt, length=32, iterations=3, lanes=1, memory_cost=64 * 1024)
    wrapping = hkdf(argon.derive(passphrase), b"subrosa/1 kdf vault")
    inner = hchacha20(wrapping, nonce[:16])
    aad = labelled("aead vault", header)
    return header + ChaCha20Poly1305(inner).encrypt(b"\0" * 4 + nonce[16:], key, aad)


def main():
    rng = Rng(1)
    entropy = rng.take(32)
    account_seed = hkdf(entropy, b"subrosa/1 kdf account key")
    account_key = ed_public(account_seed)
    first, second = Device(rng), Device(rng)
    list_1 = device_list("alice", account_key, 1, b"\0" * 32, 2, [first.entry(1, 1000)])
    hash_1 = hashlib.sha256(labelled("hash device list", list_1)).digest()
    list_2 = device_list("alice", account_key, 2, hash_1, 3, [first.entry(1, 1000), second.entry(2, 2000)])
    prekeys = []
    for kind, key_id in ((1, 11), (2, 12), (3, 13), (4, 14)):
        prekeys.append(prekey(kind, key_id, first, "alice", 1, 5000, rng.take(64 if kind > 2 else 32)))
    exporter, nonce = b"\x0e" * 32, b"\x0f" * 32
    auth = exporter + nonce + str8("alice") + u32(1)
    registration = exporter + nonce + str8("alice") + hashlib.sha256(list_1).digest()
    message_id, prev_hash, room = b"\x11" * 16, b"\x22" * 32, b"\x77" * 16
    alice, bob = ("alice", b"\xa1" * 32, 1), ("bob", b"\xb0" * 32, 7)
    pairwise = binding(alice, bob, ("bob", "alice"), message_id, 2, prev_hash, b"hi")
    in_room = binding(alice, (room, 3, 5), room, message_id, 2, prev_hash, b"")
    digits, code = safety_number("alice@relay.example", b"\1" * 32, "bob@relay.example", b"\2" * 32)
    bob_device = Device(Rng(5))
    envelope = sealed(x_public(bob_device.sealing), "bob", 7, "alice", 1, b"hi", Rng(6).take(32))
    vault_rng = Rng(1)
    db_key, salt, vault_nonce = vault_rng.take(32), vault_rng.take(16), vault_rng.take(24)
    vectors = {
        "account_entropy": entropy,
        "account_key": account_key,
        "device_secrets": first.identity + first.sealing + first.signing,
        "device_list_1": list_1,
        "device_list_1_signature": ed_sign(account_seed, "sign device list", list_1),
        "device_list_1_hash": hash_1,
        "device_list_2": list_2,
        "device_list_2_signature": ed_sign(account_seed, "sign device list", list_2),
        "prekeys": prekeys,
        "auth_transcript": auth,
        "auth_signature": ed_sign(first.signing, "sign connection", auth),
        "registration_transcript": registration,
        "registration_signature": ed_sign(account_seed, "sign registration", registration),
        "binding_pairwise": pairwise,
        "binding_pairwise_hash": hashlib.sha256(labelled("hash message", pairwise)).digest(),
        "binding_room": in_room,
        "padded": (pairwise + b"\x80").ljust(1024, b"\0"),
        "sealed": envelope,
        "safety_number": digits,
        "safety_number_qr": code,
        "vault_key": db_key,
        "vault": vault(b"correct horse", db_key, salt, vault_nonce),
    }
    as_hex = lambda v: v.hex() if isinstance(v, bytes) else [as_hex(x) for x in v] if isinstance(v, list) else v
    print(json.dumps({name: as_hex(value) for name, value in vectors.items()}, indent=1))


if __name__ == "__main__":
    main()
