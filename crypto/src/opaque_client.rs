//! The client's half of OPAQUE (RFC 9807): registering and proving a passphrase that the relay never sees. The suite,
//! the lengths of the messages and the relay's half are in [`subrosa_verify::opaque`].
//!
//! The passphrase is taken as the bytes it is given as. Who reads it from a keyboard normalises it first (Unicode NFC),
//! so that the same passphrase typed on another machine gives the same bytes. An empty one, and one of more than
//! [`PASSPHRASE_MAX`] bytes, is refused.

use opaque_ke::{
    ClientLogin, ClientLoginFinishParameters, ClientRegistration, ClientRegistrationFinishParameters,
    CredentialResponse, RegistrationResponse,
};
use rand_core::CryptoRng;
use subrosa_verify::opaque::{
    KE2_BYTES, OpaqueRng, REGISTRATION_RESPONSE_BYTES, Suite, identifiers, login_context,
};
use zeroize::Zeroizing;

/// The longest passphrase in bytes.
pub const PASSPHRASE_MAX: usize = 1024;

/// A registration between its request and its response. Holds the passphrase; erased on drop.
pub struct RegistrationFlow {
    state: ClientRegistration<Suite>,
    passphrase: Zeroizing<Vec<u8>>,
}

/// A login between KE1 and KE2. Holds the passphrase; erased on drop.
pub struct LoginFlow {
    state: ClientLogin<Suite>,
    passphrase: Zeroizing<Vec<u8>>,
}

/// Why a step failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpaqueClientError {
    /// Empty, or longer than [`PASSPHRASE_MAX`].
    #[error("a passphrase has 1 to {PASSPHRASE_MAX} bytes")]
    Passphrase,
    /// The relay's message is of the wrong length or is no encoding of one: the relay is broken or hostile.
    #[error("the relay's answer is not an OPAQUE message of this step")]
    Malformed,
    /// The passphrase is wrong, the account does not exist, or the answer was made for another connection.
    #[error("wrong name or passphrase")]
    Refused,
}

impl RegistrationFlow {
    /// Starts; returns the registration request for the relay.
    pub fn start(passphrase: &[u8], rng: &mut impl CryptoRng) -> Result<(Self, Vec<u8>), OpaqueClientError> {
        let passphrase = checked(passphrase)?;
        let started = ClientRegistration::start(&mut OpaqueRng(rng), &passphrase)
            .map_err(|_| OpaqueClientError::Passphrase)?;
        Ok((Self { state: started.state, passphrase }, started.message.serialize().to_vec()))
    }

    /// Makes the record for the relay from its response. Takes as long as a guess: 64 MiB of Argon2id.
    pub fn finish(
        self,
        username: &str,
        response: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, OpaqueClientError> {
        let response = sized(response, REGISTRATION_RESPONSE_BYTES)?;
        let response =
            RegistrationResponse::deserialize(response).map_err(|_| OpaqueClientError::Malformed)?;
        let parameters = ClientRegistrationFinishParameters::new(identifiers(username), None);
        let finished = self
            .state
            .finish(&mut OpaqueRng(rng), &self.passphrase, response, parameters)
            .map_err(|_| OpaqueClientError::Malformed)?;
        Ok(finished.message.serialize().to_vec())
    }
}

impl LoginFlow {
    /// Starts; returns KE1 for the relay.
    pub fn start(passphrase: &[u8], rng: &mut impl CryptoRng) -> Result<(Self, Vec<u8>), OpaqueClientError> {
        let passphrase = checked(passphrase)?;
        let started = ClientLogin::start(&mut OpaqueRng(rng), &passphrase)
            .map_err(|_| OpaqueClientError::Passphrase)?;
        Ok((Self { state: started.state, passphrase }, started.message.serialize().to_vec()))
    }

    /// Makes KE3 from the relay's KE2. `connection` is the TLS exporter of this connection. Takes as long as a guess.
    pub fn finish(
        self,
        username: &str,
        ke2: &[u8],
        connection: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, OpaqueClientError> {
        let ke2 = sized(ke2, KE2_BYTES)?;
        let ke2 = CredentialResponse::deserialize(ke2).map_err(|_| OpaqueClientError::Malformed)?;
        let context = login_context(connection);
        let parameters = ClientLoginFinishParameters::new(Some(&context), identifiers(username), None);
        let finished = self
            .state
            .finish(&mut OpaqueRng(rng), &self.passphrase, ke2, parameters)
            .map_err(|_| OpaqueClientError::Refused)?;
        Ok(finished.message.serialize().to_vec())
    }
}

fn checked(passphrase: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpaqueClientError> {
    if passphrase.is_empty() || passphrase.len() > PASSPHRASE_MAX {
        return Err(OpaqueClientError::Passphrase);
    }
    Ok(Zeroizing::new(passphrase.to_vec()))
}

fn sized(bytes: &[u8], len: usize) -> Result<&[u8], OpaqueClientError> {
    if bytes.len() == len { Ok(bytes) } else { Err(OpaqueClientError::Malformed) }
}

#[cfg(test)]
mod tests {
    use subrosa_verify::opaque::{
        KE1_BYTES, KE3_BYTES, OpaqueError, RECORD_BYTES, REGISTRATION_REQUEST_BYTES, RELAY_KEYS_BYTES,
        RelayOpaque,
    };

    use super::*;
    use crate::test_rng::TestRng;

    const CONNECTION: [u8; 32] = [9; 32];

    fn register(relay: &RelayOpaque, username: &str, passphrase: &[u8], rng: &mut TestRng) -> Vec<u8> {
        let (flow, request) = RegistrationFlow::start(passphrase, rng).unwrap();
        let response = relay.registration_response(username, &request).unwrap();
        assert_eq!(
            (request.len(), response.len()),
            (REGISTRATION_REQUEST_BYTES, REGISTRATION_RESPONSE_BYTES)
        );
        let record = flow.finish(username, &response, rng).unwrap();
        assert_eq!(record.len(), RECORD_BYTES);
        assert_eq!(relay.check_record(&record), Ok(()));
        record
    }

    /// A login as the relay ends it: the connections at both ends may differ.
    fn login(
        relay: &RelayOpaque,
        record: Option<&[u8]>,
        passphrase: &[u8],
        connections: [&[u8]; 2],
        rng: &mut TestRng,
    ) -> Result<Result<(), OpaqueError>, OpaqueClientError> {
        let (flow, ke1) = LoginFlow::start(passphrase, rng).unwrap();
        let (state, ke2) = relay.login_start("alice", record, &ke1, connections[0], rng).unwrap();
        assert_eq!((ke1.len(), ke2.len()), (KE1_BYTES, KE2_BYTES));
        let ke3 = flow.finish("alice", &ke2, connections[1], rng)?;
        assert_eq!(ke3.len(), KE3_BYTES);
        Ok(state.finish(&ke3))
    }

    #[test]
    fn r40_the_passphrase_opens_and_nothing_else_does() {
        let mut rng = TestRng::new(1);
        let relay = RelayOpaque::generate(&mut rng);
        let record = register(&relay, "alice", b"correct horse", &mut rng);
        let same = [&CONNECTION[..], &CONNECTION[..]];
        assert_eq!(relay.to_bytes().len(), RELAY_KEYS_BYTES);
        let restored = RelayOpaque::from_bytes(&relay.to_bytes()).unwrap();
        assert_eq!(login(&restored, Some(&record), b"correct horse", same, &mut rng), Ok(Ok(())));

        let refused = Err(OpaqueClientError::Refused);
        assert_eq!(login(&relay, Some(&record), b"correct horsf", same, &mut rng), refused);
        // No such account: the same lengths (asserted in `login`) and the same error as a wrong passphrase.
        assert_eq!(login(&relay, None, b"correct horse", same, &mut rng), refused);
        // Another account's record, another relay's keys, another connection.
        let other = register(&relay, "bob", b"correct horse", &mut rng);
        assert_eq!(login(&relay, Some(&other), b"correct horse", same, &mut rng), refused);
        let stranger = RelayOpaque::generate(&mut rng);
        assert_eq!(login(&stranger, Some(&record), b"correct horse", same, &mut rng), refused);
        assert_eq!(
            login(&relay, Some(&record), b"correct horse", [&CONNECTION, &[8; 32]], &mut rng),
            refused
        );
    }

    /// The answer to a name without an account takes as long as the answer to one with an account: medians within 5 %.
    /// A machine under load may disturb one comparison, so that one of ten has to hold; a difference of the code paths
    /// would show in all.
    #[test]
    fn r40_an_unknown_name_takes_as_long_as_a_known_one() {
        let mut rng = TestRng::new(5);
        let relay = RelayOpaque::generate(&mut rng);
        let record = register(&relay, "alice", b"correct horse", &mut rng);
        let (_, ke1) = LoginFlow::start(b"guess", &mut rng).unwrap();
        let mut compare = || {
            let mut took = [vec![], vec![]];
            for i in 0..200 {
                let started = std::time::Instant::now();
                let record = (i % 2 == 0).then_some(&record[..]);
                relay.login_start("alice", record, &ke1, &CONNECTION, &mut rng).unwrap();
                took[i % 2].push(started.elapsed().as_nanos());
            }
            let [known, unknown] = took.map(|mut times| {
                times.sort_unstable();
                times[times.len() / 2]
            });
            known.abs_diff(unknown) * 20 <= known
        };
        assert!((0..10).any(|_| compare()));
    }

    #[test]
    fn r40_a_made_up_ke3_is_refused() {
        let mut rng = TestRng::new(2);
        let relay = RelayOpaque::generate(&mut rng);
        let record = register(&relay, "alice", b"correct horse", &mut rng);
        for record in [None, Some(&record[..])] {
            let (_, ke1) = LoginFlow::start(b"guess", &mut rng).unwrap();
            let (state, _) = relay.login_start("alice", record, &ke1, &CONNECTION, &mut rng).unwrap();
            assert_eq!(state.finish(&[0; KE3_BYTES]), Err(OpaqueError::Refused));
            let (state, _) = relay.login_start("alice", record, &ke1, &CONNECTION, &mut rng).unwrap();
            assert_eq!(state.finish(&[0; KE3_BYTES - 1]), Err(OpaqueError::Malformed));
        }
    }

    #[test]
    fn messages_of_another_length_or_form_are_refused() {
        let mut rng = TestRng::new(3);
        let relay = RelayOpaque::generate(&mut rng);
        let malformed = Some(OpaqueError::Malformed);
        for len in [0, 31, 32, 33, 1000] {
            let junk = vec![0xff; len];
            assert_eq!(relay.registration_response("alice", &junk).err(), malformed);
            assert_eq!(relay.check_record(&junk).err(), malformed);
            assert_eq!(relay.login_start("alice", None, &junk, &CONNECTION, &mut rng).err(), malformed);
            let (flow, _) = RegistrationFlow::start(b"x", &mut rng).unwrap();
            assert_eq!(flow.finish("alice", &junk, &mut rng).err(), Some(OpaqueClientError::Malformed));
            let (flow, _) = LoginFlow::start(b"x", &mut rng).unwrap();
            let refused = flow.finish("alice", &junk, &CONNECTION, &mut rng);
            assert_eq!(refused.err(), Some(OpaqueClientError::Malformed));
        }
        assert_eq!(relay.check_record(&[0xff; RECORD_BYTES]).err(), malformed);
        assert!(RelayOpaque::from_bytes(&relay.to_bytes()[1..]).is_err());
        assert!(RelayOpaque::from_bytes(&[&relay.to_bytes()[..], &[0]].concat()).is_err());
    }

    #[test]
    fn passphrases_have_bounds() {
        let mut rng = TestRng::new(4);
        for bad in [&[][..], &[b'a'; PASSPHRASE_MAX + 1]] {
            assert_eq!(LoginFlow::start(bad, &mut rng).err(), Some(OpaqueClientError::Passphrase));
            assert_eq!(RegistrationFlow::start(bad, &mut rng).err(), Some(OpaqueClientError::Passphrase));
        }
        assert!(LoginFlow::start(&[b'a'; PASSPHRASE_MAX], &mut rng).is_ok());
    }
}
