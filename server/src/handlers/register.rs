//! Registration: a name, an account key, a first device with its prekeys and an OPAQUE record, stored in one transaction.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use subrosa_protocol::{
    BoundedBytes, BoundedStr, DeviceId, ErrorCode, SafeText, Username,
    frames::{RegisterChallenge, RegisterFinish, RegisterStart, RegistrationPolicy, StagePrekeys},
    limits::{PREKEY_EC_BYTES, PREKEY_KEM_BYTES},
};
use subrosa_verify::{
    auth::{RegistrationTranscript, verify_registration},
    keys::VerifyingKey,
};
use tokio::time::Instant;

use super::{
    Refusal,
    verified::{self, OneTime, Owner, apart},
};
use crate::{
    core::Core,
    limits::STAGED_PREKEYS,
    listener::Network,
    store::{InviteHash, NewDevice, Registered, Registration},
};

/// A registration that was begun on this connection.
pub(crate) struct Started {
    account: Username,
    invite: Option<InviteHash>,
}

/// One-time prekeys that wait in this connection's memory for `RegisterFinish` or `DeviceAdd`.
#[derive(Default)]
pub(crate) struct Staged(pub(super) OneTime);

/// What a connection is proved by: its exporter value and the relay's nonce.
#[derive(Clone, Copy)]
pub(crate) struct Channel {
    pub(crate) exporter: [u8; 32],
    pub(crate) nonce: [u8; 32],
}

/// SHA-256 of an invite's secret, which is all the relay keeps of it. The secret has 128 random bits.
pub(crate) fn invite_hash(secret: &[u8; 16]) -> InviteHash {
    Sha256::digest(secret).into()
}

impl Staged {
    /// Keeps prekeys; more than a device may have are refused.
    pub(crate) fn stage(&mut self, request: StagePrekeys) -> Result<(), Refusal> {
        let Self(kept) = self;
        let (ec, kem) = (request.one_time.into_inner(), request.kem.into_inner());
        if kept.ec.len() + ec.len() > STAGED_PREKEYS || kept.kem.len() + kem.len() > STAGED_PREKEYS {
            return Err(Refusal::new(ErrorCode::TooLarge, "more prekeys than a device may have"));
        }
        kept.ec.extend(ec);
        kept.kem.extend(kem);
        Ok(())
    }

    /// Bytes of what is kept and of what is asked to be kept.
    pub(crate) fn bytes_with(&self, request: &StagePrekeys) -> usize {
        let (ec, kem) = (self.0.ec.len() + request.one_time.len(), self.0.kem.len() + request.kem.len());
        ec * PREKEY_EC_BYTES + kem * PREKEY_KEM_BYTES
    }

    pub(crate) fn take(&mut self) -> Self {
        std::mem::take(self)
    }
}

/// `RegisterStart`: early refusals, and the relay's half of OPAQUE.
pub(crate) async fn start(
    core: &Arc<Core>,
    network: Network,
    request: RegisterStart,
) -> Result<(Started, RegisterChallenge), Refusal> {
    if !core.accepts_writes() {
        return Err(Refusal::storage_full());
    }
    let (now, account) = (Instant::now(), request.account);
    let invite = match core.policy {
        RegistrationPolicy::Closed => {
            return Err(Refusal::new(ErrorCode::RegistrationClosed, "this relay takes no new accounts"));
        }
        RegistrationPolicy::Open => {
            core.rates.registrations_per_network.take(network, 1, now)?;
            None
        }
        RegistrationPolicy::Invite => {
            let secret = request.invite.ok_or_else(Refusal::invite_invalid)?;
            let hash = invite_hash(&secret);
            if !core.stored(core.store.invite_usable(hash, core.now())).await? {
                return Err(Refusal::invite_invalid());
            }
            Some(hash)
        }
    };
    if !core.stored(core.store.name_available(&account)).await? {
        // Who asks for names by registering them looks them up: the same budget (R38).
        core.rates.lookups_per_network.take(network, 1, now)?;
        return Err(Refusal::name_taken());
    }
    let opaque = core
        .opaque
        .registration_response(account.as_str(), &request.opaque)
        .map_err(|_| Refusal::bad_request("not an OPAQUE registration request"))?;
    let opaque = BoundedBytes::new(opaque).map_err(|_| Refusal::internal())?;
    Ok((Started { account, invite }, RegisterChallenge { opaque }))
}

/// `RegisterFinish`: everything is checked, then stored in one transaction.
pub(crate) async fn finish(
    core: &Arc<Core>,
    channel: Channel,
    started: Started,
    staged: Staged,
    request: RegisterFinish,
) -> Result<(), Refusal> {
    if !core.accepts_writes() {
        return Err(Refusal::storage_full());
    }
    let Started { account, invite } = started;
    core.opaque.check_record(&request.opaque).map_err(|_| Refusal::bad_request("not an OPAQUE record"))?;
    let list = verified::list(&account, &request.device_list)?;
    let [entry] = list.devices.as_slice() else {
        return Err(Refusal::invalid("the first device list names exactly one device"));
    };
    if list.version != 1 {
        return Err(Refusal::invalid("the first device list has version 1"));
    }
    let transcript = RegistrationTranscript {
        exporter: channel.exporter,
        nonce: channel.nonce,
        account: account.as_str(),
        device_list_sha256: Sha256::digest(&*request.device_list.bytes).into(),
    };
    verify_registration(&VerifyingKey(list.account_key), &transcript, &request.proof)
        .map_err(|_| Refusal::invalid("the account key's proof does not verify"))?;
    let now = core.now();
    let device =
        DeviceId::new(entry.device_id).map_err(|_| Refusal::invalid("the device list does not verify"))?;
    let owner = Owner { account: account.clone(), device, signing_key: entry.signing_key, now };
    let prekeys = apart(move || owner.all(request.prekeys, staged.0)).await?;
    let registration = Registration {
        display_name: BoundedStr::truncated(&SafeText::name(&request.display_name)),
        account_key: list.account_key,
        opaque_record: request.opaque.into_inner(),
        list: verified::version(&list, request.device_list)?,
        device: NewDevice { device, signing_key: entry.signing_key, prekeys },
        account,
        invite,
        now,
    };
    match core.stored(core.store.register(registration)).await? {
        Registered::Done => {
            core.metrics.registrations.inc();
            Ok(())
        }
        Registered::NameTaken => Err(Refusal::name_taken()),
        Registered::InviteInvalid => Err(Refusal::invite_invalid()),
    }
}
