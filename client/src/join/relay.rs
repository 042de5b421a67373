//! The questions to the relay: register, log in, add a device, prove one.

use getrandom::SysRng;
use rand_core::UnwrapErr;
use serde_bytes::ByteArray;
use sha2::{Digest, Sha256};
use subrosa_crypto::{
    opaque_client::{LoginFlow, OpaqueClientError, RegistrationFlow},
    verify::{
        auth::{AuthTranscript, RegistrationTranscript},
        device_list::{DeviceList, SignedDeviceList},
        prekey::{Prekey, PrekeyKind},
    },
};
use subrosa_protocol::{
    BoundedBytes, BoundedStr, BoundedVec, ErrorCode, InviteSecret, RelayAddress, Username,
    frames::{
        Authenticate, DeviceAdd, LoginFinish, LoginStart, PreAuthRequest, Prekeys, RegisterFinish,
        RegisterStart, Response, SignedList, StagePrekeys,
    },
    limits::{ONE_TIME_PREKEYS, STAGED_EC_PER_FRAME, STAGED_KEM_PER_FRAME},
};
use zeroize::Zeroizing;

use super::material::signed_from_bytes;
use crate::{
    api::{ApiError, Kind},
    net::{Dialogue, NetError, dial},
    store::{Identity, IdentityKeys, Progress, Store},
};

/// How often a relay that does not answer is dialled.
const DIAL_TRIES: u32 = 3;

/// Everything a profile that joins tells the relay.
pub(super) struct Joining {
    pub(super) identity: Identity,
    list: SignedDeviceList,
    signed: Prekey,
    last_resort: Prekey,
    one_time: Vec<Prekey>,
    kem: Vec<Prekey>,
}

impl Joining {
    /// What the profile holds; the join that is taken up must be the one that is asked for.
    pub(super) fn read(store: &Store, name: &Username, relay: &RelayAddress) -> Result<Self, ApiError> {
        let broken = || ApiError::internal("the profile holds no join in progress");
        let read = store.read(|tx| {
            let newest = |kind| tx.unpublished_prekeys(kind, 1).map(|mut keys| keys.pop());
            Ok((
                tx.identity()?,
                newest(PrekeyKind::SignedEc)?,
                newest(PrekeyKind::LastResortKem)?,
                tx.unpublished_prekeys(PrekeyKind::OneTimeEc, ONE_TIME_PREKEYS)?,
                tx.unpublished_prekeys(PrekeyKind::OneTimeKem, ONE_TIME_PREKEYS)?,
            ))
        });
        let (identity, signed, last_resort, one_time, kem) =
            read.map_err(|error: crate::store::StoreError| ApiError::from(error))?;
        let identity = identity.ok_or_else(broken)?;
        if identity.account != *name || identity.relay != *relay {
            let (account, relay) = (&identity.account, &identity.relay);
            return Err(ApiError::new(
                Kind::Refused,
                format!("this profile is in the middle of joining as {account}"),
            )
            .hint(format!(
                "go on with that (rosa join {relay} --name {account}), or choose another --profile"
            )));
        }
        let Progress::Joining(bytes) = &identity.progress else { return Err(broken()) };
        let list = signed_from_bytes(bytes).ok_or_else(broken)?;
        let (signed, last_resort) = (signed.ok_or_else(broken)?, last_resort.ok_or_else(broken)?);
        Ok(Self { identity, list, signed, last_resort, one_time, kem })
    }

    /// The recovery words.
    pub(super) fn words(&self) -> Zeroizing<String> {
        let words = self.identity.keys.as_ref().map(|keys| keys.account.recovery_words());
        Zeroizing::new(words.map(|words| words.to_string()).unwrap_or_default())
    }

    /// The relay has said yes: from now on this is a device.
    pub(super) fn finish(&self, store: &mut Store) -> Result<(), ApiError> {
        let ids = |keys: &[Prekey]| keys.iter().map(|key| key.key_id).collect::<Vec<_>>();
        let done = store.transaction(|tx| {
            tx.prekeys_published(PrekeyKind::SignedEc, &[self.signed.key_id])?;
            tx.prekeys_published(PrekeyKind::LastResortKem, &[self.last_resort.key_id])?;
            tx.prekeys_published(PrekeyKind::OneTimeEc, &ids(&self.one_time))?;
            tx.prekeys_published(PrekeyKind::OneTimeKem, &ids(&self.kem))?;
            tx.set_progress(&Progress::Ready)
        });
        done.map_err(|error: crate::store::StoreError| ApiError::from(error))
    }

    fn keys(&self) -> Result<&IdentityKeys, ApiError> {
        self.identity.keys.as_ref().ok_or_else(|| ApiError::internal("the profile holds no keys"))
    }

    fn wire_list(&self) -> Result<SignedList, ApiError> {
        let bytes = BoundedBytes::new(self.list.bytes.clone()).map_err(too_large)?;
        Ok(SignedList { bytes, signature: ByteArray::new(self.list.signature) })
    }

    fn wire_prekeys(&self) -> Result<Prekeys, ApiError> {
        Ok(Prekeys { signed: fixed(&self.signed)?, last_resort: fixed(&self.last_resort)? })
    }

    /// Hands the one-time prekeys over, a frame's worth at a time, and does not wait for each answer: over a far network
    /// that would take longer than the relay waits.
    async fn stage(&self, dialogue: &mut Dialogue) -> Result<(), ApiError> {
        let mut frames = Vec::new();
        // X25519 prekeys fill frames of their own; ML-KEM ones follow.
        for chunk in self.one_time.chunks(STAGED_EC_PER_FRAME) {
            frames.push(StagePrekeys { one_time: all(chunk)?, kem: all(&[])? });
        }
        for chunk in self.kem.chunks(STAGED_KEM_PER_FRAME) {
            frames.push(StagePrekeys { one_time: all(&[])?, kem: all(chunk)? });
        }
        let frames = frames.into_iter().map(|frame| move |id| PreAuthRequest::StagePrekeys(frame).to_raw(id));
        dialogue.ask_all(frames).await?.into_iter().try_for_each(done)
    }
}

/// A connection to the relay, hellos exchanged, its key checked (R1). Where packets are lost and far away, a handshake may
/// take longer than its five seconds: silence is tried again.
pub(super) async fn connect(relay: &RelayAddress) -> Result<Dialogue, ApiError> {
    let mut tries = 1;
    loop {
        match dial(relay).await {
            Ok(wire) => return Ok(Dialogue::new(wire)),
            Err(NetError::Silent { .. } | NetError::Timeout) if tries < DIAL_TRIES => tries += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether the relay knows the device already.
pub(super) async fn knows(identity: &Identity) -> Result<bool, ApiError> {
    match authenticated(identity).await? {
        Some(dialogue) => {
            dialogue.finish().await;
            Ok(true)
        }
        None => Ok(false),
    }
}

/// A connection on which the device has proved itself; `None` when the relay does not know it.
pub(super) async fn authenticated(identity: &Identity) -> Result<Option<Dialogue>, ApiError> {
    let Some(keys) = &identity.keys else { return Ok(None) };
    let mut dialogue = connect(&identity.relay).await?;
    let transcript = AuthTranscript {
        exporter: dialogue.exporter,
        nonce: dialogue.hello.nonce,
        account: identity.account.as_str(),
        device_id: identity.device.get(),
    };
    let signature = ByteArray::new(keys.device.sign_auth(&transcript));
    let proof = Authenticate { account: identity.account.clone(), device: identity.device, signature };
    let answer = dialogue.ask(|id| PreAuthRequest::Authenticate(proof).to_raw(id)).await;
    match answer {
        Ok(Response::Authenticated(_)) => Ok(Some(dialogue)),
        Ok(other) => Err(unexpected(&other)),
        Err(NetError::Refused(frame)) if frame.code == ErrorCode::AuthenticationFailed => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Registers the account.
pub(super) async fn register(
    dialogue: &mut Dialogue,
    joining: &Joining,
    invite: Option<&InviteSecret>,
    passphrase: Zeroizing<String>,
) -> Result<(), ApiError> {
    let account = joining.identity.account.clone();
    let (flow, request) =
        RegistrationFlow::start(passphrase.as_bytes(), &mut UnwrapErr(SysRng)).map_err(opaque_error)?;
    let start = RegisterStart {
        account: account.clone(),
        invite: invite.map(|invite| ByteArray::new(invite.0)),
        opaque: BoundedBytes::new(request).map_err(too_large)?,
    };
    let challenge = match ask(dialogue, PreAuthRequest::RegisterStart(start)).await? {
        Response::RegisterChallenge(challenge) => challenge,
        other => return Err(unexpected(&other)),
    };
    let name = account.clone();
    let record =
        stretched(move || flow.finish(name.as_str(), &challenge.opaque, &mut UnwrapErr(SysRng))).await?;
    joining.stage(dialogue).await?;
    let transcript = RegistrationTranscript {
        exporter: dialogue.exporter,
        nonce: dialogue.hello.nonce,
        account: account.as_str(),
        device_list_sha256: Sha256::digest(&joining.list.bytes).into(),
    };
    let finish = RegisterFinish {
        opaque: BoundedBytes::new(record).map_err(too_large)?,
        display_name: BoundedStr::truncated(&joining.identity.display_name),
        device_list: joining.wire_list()?,
        proof: ByteArray::new(joining.keys()?.account.sign_registration(&transcript)),
        prekeys: joining.wire_prekeys()?,
    };
    done(ask(dialogue, PreAuthRequest::RegisterFinish(finish)).await?)
}

/// Proves the passphrase; the account's current device list, its signature verified.
pub(super) async fn log_in(
    dialogue: &mut Dialogue,
    name: &Username,
    passphrase: Zeroizing<String>,
) -> Result<DeviceList, ApiError> {
    let (flow, ke1) =
        LoginFlow::start(passphrase.as_bytes(), &mut UnwrapErr(SysRng)).map_err(opaque_error)?;
    let start = LoginStart { account: name.clone(), opaque: BoundedBytes::new(ke1).map_err(too_large)? };
    let challenge = match ask(dialogue, PreAuthRequest::LoginStart(start)).await? {
        Response::LoginChallenge(challenge) => challenge,
        other => return Err(unexpected(&other)),
    };
    let (account, exporter) = (name.clone(), dialogue.exporter);
    let ke3 = stretched(move || {
        flow.finish(account.as_str(), &challenge.opaque, &exporter, &mut UnwrapErr(SysRng))
    })
    .await?;
    let finish = LoginFinish { opaque: BoundedBytes::new(ke3).map_err(too_large)?, renew: None };
    let granted = match ask(dialogue, PreAuthRequest::LoginFinish(finish)).await? {
        Response::LoginGranted(granted) => granted,
        other => return Err(unexpected(&other)),
    };
    let list = granted.device_list;
    let list = SignedDeviceList { bytes: list.bytes.into_inner(), signature: list.signature.into_array() };
    list.verify(name.as_str()).map_err(|error| {
        ApiError::new(Kind::Identity, format!("the relay's device list of {name} is not genuine: {error}"))
            .hint("the relay is broken or lies: ask its operator")
    })
}

/// After [`log_in`] on the same connection: publishes the list with the new device in it.
pub(super) async fn add_device(
    dialogue: &mut Dialogue,
    joining: &Joining,
    current: &DeviceList,
) -> Result<(), ApiError> {
    let changed = |_| {
        ApiError::new(Kind::Refused, "the account's device list changed in the meantime")
            .hint("remove this profile's folder and log in again")
    };
    let next = joining.list.verify(joining.identity.account.as_str()).map_err(changed)?;
    next.check_follows(current).map_err(changed)?;
    joining.stage(dialogue).await?;
    let add = DeviceAdd {
        device_list: joining.wire_list()?,
        device: joining.identity.device,
        prekeys: joining.wire_prekeys()?,
    };
    done(ask(dialogue, PreAuthRequest::DeviceAdd(add)).await?)
}

/// Key stretching, off the threads that serve sockets.
async fn stretched(
    work: impl FnOnce() -> Result<Vec<u8>, OpaqueClientError> + Send + 'static,
) -> Result<Vec<u8>, ApiError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(opaque_error),
        Err(_) => Err(ApiError::internal("key stretching")),
    }
}

async fn ask(dialogue: &mut Dialogue, request: PreAuthRequest) -> Result<Response, ApiError> {
    Ok(dialogue.ask(|id| request.to_raw(id)).await?)
}

fn done(response: Response) -> Result<(), ApiError> {
    match response {
        Response::Done(_) => Ok(()),
        other => Err(unexpected(&other)),
    }
}

pub(super) fn unexpected(response: &Response) -> ApiError {
    NetError::Protocol(format!("an answer of kind {}", response.name())).into()
}

fn opaque_error(error: OpaqueClientError) -> ApiError {
    match error {
        OpaqueClientError::Passphrase => ApiError::new(Kind::Usage, error.to_string()),
        OpaqueClientError::Malformed => NetError::Protocol(error.to_string()).into(),
        // The very words of the relay's own refusal, so that neither tells more than the other (R40).
        OpaqueClientError::Refused => {
            crate::net::refused(&subrosa_protocol::frames::ErrorFrame::new(ErrorCode::LoginFailed, ""))
        }
    }
}

fn too_large(error: subrosa_protocol::OverBound) -> ApiError {
    ApiError::internal(error.to_string())
}

fn fixed<const N: usize>(prekey: &Prekey) -> Result<ByteArray<N>, ApiError> {
    let bytes: [u8; N] = prekey.to_bytes().try_into().map_err(|_| ApiError::internal("prekey length"))?;
    Ok(ByteArray::new(bytes))
}

fn all<const N: usize, const MAX: usize>(
    prekeys: &[Prekey],
) -> Result<BoundedVec<ByteArray<N>, MAX>, ApiError> {
    let fixed: Result<Vec<_>, _> = prekeys.iter().map(fixed).collect();
    BoundedVec::new(fixed?).map_err(too_large)
}
