//! The relay's half of OPAQUE.

use opaque_ke::{
    CredentialFinalization, CredentialRequest, RegistrationRequest, ServerLogin, ServerLoginParameters,
    ServerRegistration, ServerSetup,
};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::{
    KE1_BYTES, KE3_BYTES, OpaqueRng, RECORD_BYTES, REGISTRATION_REQUEST_BYTES, Suite, identifiers,
    login_context,
};

/// The relay's OPAQUE keys: one for all accounts, made once. Lose them and every passphrase is dead; leak them and every
/// stolen record can be guessed at. They live in a file of their own.
pub struct RelayOpaque {
    setup: ServerSetup<Suite>,
    /// Parsed where an account has no record, so that a missing account costs what a present one does.
    stand_in: Vec<u8>,
}

/// What the relay remembers between KE2 and KE3, in the memory of the connection: a fixed size, used once.
pub struct LoginState {
    login: ServerLogin<Suite>,
    username: String,
    context: Vec<u8>,
}

/// Why an OPAQUE step failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpaqueError {
    /// A message is of the wrong length or is no encoding of one. The sender is broken or hostile.
    #[error("not an OPAQUE message of this step")]
    Malformed,
    /// The passphrase is wrong or the account does not exist; which one is never told.
    #[error("wrong name or passphrase")]
    Refused,
    /// The record or the keys that the relay stores cannot be read: restore them from a backup.
    #[error("the stored OPAQUE record or keys are damaged")]
    Stored,
}

impl RelayOpaque {
    /// New keys. Only for a relay that has no accounts yet.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self::with_setup(ServerSetup::new(&mut OpaqueRng(rng)))
    }

    /// Keys as [`RelayOpaque::to_bytes`] wrote them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, OpaqueError> {
        let relay = Self::with_setup(ServerSetup::deserialize(bytes).map_err(|_| OpaqueError::Stored)?);
        if relay.to_bytes().as_slice() == bytes { Ok(relay) } else { Err(OpaqueError::Stored) }
    }

    /// The keys for their file: [`RELAY_KEYS_BYTES`](super::RELAY_KEYS_BYTES), secret.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.setup.serialize().to_vec())
    }

    /// Answers a registration request ([`REGISTRATION_REQUEST_BYTES`]) for `username`.
    pub fn registration_response(&self, username: &str, request: &[u8]) -> Result<Vec<u8>, OpaqueError> {
        let request = sized(request, REGISTRATION_REQUEST_BYTES)?;
        let request = RegistrationRequest::deserialize(request).map_err(|_| OpaqueError::Malformed)?;
        let result = ServerRegistration::<Suite>::start(&self.setup, request, username.as_bytes())
            .map_err(|_| OpaqueError::Malformed)?;
        Ok(result.message.serialize().to_vec())
    }

    /// Whether `record` ([`RECORD_BYTES`]) can be stored as an account's.
    pub fn check_record(&self, record: &[u8]) -> Result<(), OpaqueError> {
        let record = sized(record, RECORD_BYTES)?;
        ServerRegistration::<Suite>::deserialize(record).map_err(|_| OpaqueError::Malformed)?;
        Ok(())
    }

    /// Answers KE1 ([`KE1_BYTES`]) with KE2. `record` is the account's, or `None` when there is no such account:
    /// the answer then looks the same and the login fails at KE3. `connection` is the TLS exporter.
    pub fn login_start(
        &self,
        username: &str,
        record: Option<&[u8]>,
        ke1: &[u8],
        connection: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<(LoginState, Vec<u8>), OpaqueError> {
        let ke1 = sized(ke1, KE1_BYTES)?;
        let ke1 = CredentialRequest::deserialize(ke1).map_err(|_| OpaqueError::Malformed)?;
        let parsed = ServerRegistration::deserialize(record.unwrap_or(&self.stand_in))
            .map_err(|_| OpaqueError::Stored)?;
        let record = record.map(|_| parsed);
        let context = login_context(connection);
        let result = ServerLogin::start(
            &mut OpaqueRng(rng),
            &self.setup,
            record,
            ke1,
            username.as_bytes(),
            ServerLoginParameters { context: Some(&context), identifiers: identifiers(username) },
        )
        .map_err(|_| OpaqueError::Malformed)?;
        let ke2 = result.message.serialize().to_vec();
        Ok((LoginState { login: result.state, username: username.to_owned(), context }, ke2))
    }

    fn with_setup(setup: ServerSetup<Suite>) -> Self {
        let mut stand_in = setup.keypair().public().serialize().to_vec();
        stand_in.resize(RECORD_BYTES, 0);
        Self { setup, stand_in }
    }
}

impl LoginState {
    /// Checks KE3 ([`KE3_BYTES`]); on success the one at the other end of this connection knows the passphrase.
    pub fn finish(self, ke3: &[u8]) -> Result<(), OpaqueError> {
        let ke3 = sized(ke3, KE3_BYTES)?;
        let ke3 = CredentialFinalization::deserialize(ke3).map_err(|_| OpaqueError::Malformed)?;
        let parameters =
            ServerLoginParameters { context: Some(&self.context), identifiers: identifiers(&self.username) };
        self.login.finish(ke3, parameters).map_err(|_| OpaqueError::Refused)?;
        Ok(())
    }
}

fn sized(bytes: &[u8], len: usize) -> Result<&[u8], OpaqueError> {
    if bytes.len() == len { Ok(bytes) } else { Err(OpaqueError::Malformed) }
}
