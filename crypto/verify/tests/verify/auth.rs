//! The transcripts that prove a device or an account on one connection.

use crate::common::*;
use subrosa_verify::auth::{AuthTranscript, RegistrationTranscript, verify_auth, verify_registration};
use subrosa_verify::device_list::DeviceList;
use subrosa_verify::keys::VerifyingKey;

#[test]
fn golden_transcripts_verify() {
    let list = DeviceList::parse(&golden("device_list_1")).unwrap();
    let (exporter, nonce) = ([0x0e; 32], [0x0f; 32]);
    let auth = AuthTranscript { exporter, nonce, account: "alice", device_id: 1 };
    assert_eq!(auth.to_bytes(), golden("auth_transcript"));
    let signature = golden("auth_signature").try_into().unwrap();
    assert_eq!(verify_auth(&list.devices[0].verifying_key(), &auth, &signature), Ok(()));
    for bad in [
        AuthTranscript { exporter: [0; 32], ..auth },
        AuthTranscript { nonce: [0; 32], ..auth },
        AuthTranscript { account: "bob", ..auth },
        AuthTranscript { device_id: 2, ..auth },
    ] {
        assert!(verify_auth(&list.devices[0].verifying_key(), &bad, &signature).is_err(), "{bad:?}");
    }

    let device_list_sha256 = golden("registration_transcript")[70..].try_into().unwrap();
    let registration = RegistrationTranscript { exporter, nonce, account: "alice", device_list_sha256 };
    assert_eq!(registration.to_bytes(), golden("registration_transcript"));
    let signature = golden("registration_signature").try_into().unwrap();
    let key = VerifyingKey(list.account_key);
    assert_eq!(verify_registration(&key, &registration, &signature), Ok(()));
    let bad = RegistrationTranscript { device_list_sha256: [0; 32], ..registration };
    assert!(verify_registration(&key, &bad, &signature).is_err());
}
