//! A device proves its signing key for one connection.

use std::sync::Arc;

use subrosa_protocol::{
    ErrorCode,
    frames::{Authenticate, Authenticated, Empty, Reauthenticate, Response},
};
use subrosa_verify::{
    auth::{AuthTranscript, verify_auth},
    keys::VerifyingKey,
};

use super::{Answered, Caller, Context, Refusal, register::Channel};
use crate::{bus::Subscription, core::Core, listener::Network};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// `Authenticate`: who it is, and its place on the bus.
pub(crate) async fn authenticate(
    core: &Arc<Core>,
    channel: Channel,
    network: Network,
    request: Authenticate,
) -> Result<(Caller, Subscription, Authenticated), Refusal> {
    let Authenticate { account, device, signature } = request;
    let state = core.stored(core.store.device(&account, device)).await?;
    let transcript = AuthTranscript {
        exporter: channel.exporter,
        nonce: channel.nonce,
        account: account.as_str(),
        device_id: device.get(),
    };
    // A device that does not exist costs the same work as one whose proof is wrong.
    let key = state.as_ref().map_or(STAND_IN, |state| state.signing_key);
    let proved = verify_auth(&VerifyingKey(key), &transcript, &signature).is_ok();
    let Some(state) = state.filter(|_| proved) else { return Err(Refusal::authentication_failed()) };
    let now = core.now();
    if now.saturating_sub(state.last_seen) > core.limits.device_unused_days.saturating_mul(DAY_MS) {
        return Err(Refusal::new(
            ErrorCode::LoginRequired,
            "unused for too long: log in with the passphrase",
        ));
    }
    let subscription = core.bus.subscribe(&account, device).map_err(|_| {
        Refusal::new(ErrorCode::TooManyConnections, "the account has as many connections as it may")
    })?;
    // Only now: what arrives from here on is heard, what arrived before is counted.
    let state =
        core.stored(core.store.device(&account, device)).await?.ok_or_else(Refusal::authentication_failed)?;
    if now / DAY_MS > state.last_seen / DAY_MS && core.accepts_writes() {
        core.stored(core.store.touch_device(&account, device, now)).await?;
    }
    core.metrics.authenticated.inc();
    let answer = Authenticated {
        generation: state.generation,
        list_version: state.list_version,
        next_seq: state.next_seq,
        prekeys: state.prekeys,
        proof_lifetime_s: core.limits.proof_lifetime_s,
        relay_time: now,
    };
    Ok((Caller { account, device, network }, subscription, answer))
}

/// `Reauthenticate`: the proof again, for a fresh nonce.
pub(crate) async fn reauthenticate(cx: Context, channel: Channel, request: Reauthenticate) -> Answered {
    let Caller { account, device, .. } = &*cx.caller;
    let state = cx
        .core
        .stored(cx.core.store.device(account, *device))
        .await?
        .ok_or_else(Refusal::authentication_failed)?;
    let transcript = AuthTranscript {
        exporter: channel.exporter,
        nonce: channel.nonce,
        account: account.as_str(),
        device_id: device.get(),
    };
    verify_auth(&VerifyingKey(state.signing_key), &transcript, &request.signature)
        .map_err(|_| Refusal::authentication_failed())?;
    Ok(Response::Done(Empty {}))
}

/// The base point of Ed25519: a key that is one, and nobody's.
const STAND_IN: [u8; 32] = {
    let mut key = [0x66; 32];
    key[0] = 0x58;
    key
};
