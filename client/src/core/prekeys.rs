//! This device's prekeys on the relay: refilled, rotated, and uploaded only once their secrets are stored (R21, R36).

use serde_bytes::ByteArray;
use subrosa_crypto::{
    prekeys::generate_prekey,
    verify::prekey::{Prekey, PrekeyKind},
};
use subrosa_protocol::{
    BoundedVec,
    frames::{PrekeyCounts, PrekeyUpload, Request, Response},
    limits::{ONE_TIME_PREKEYS, PREKEY_EC_BYTES, PREKEY_KEM_BYTES, PREKEYS_LOW},
};

use super::{Asked, Core, Fault, Turn, work::Work};
use crate::limits::{
    KEM_PREKEYS_PER_UPLOAD, ONE_TIME_SECRETS, REFILL_EVERY_MS, ROTATE_AFTER_MS, UPKEEP_EVERY_MS,
};

/// What the next upload holds.
struct Upload {
    request: PrekeyUpload,
    ids: Vec<(PrekeyKind, Vec<u32>)>,
}

impl Core {
    pub(super) fn pump_prekeys(&mut self, turn: &mut Turn<'_>) -> Result<(), Fault> {
        let Some(counts) = self.link.prekeys else { return Ok(()) };
        if self.upkeep.uploading || self.upkeep.prekeys_at > turn.now {
            return Ok(());
        }
        // However often the relay says that it has none, or ends connections: one refill a minute.
        let may_refill = self.upkeep.refill_after <= turn.now;
        let (made, upload) =
            self.transact(turn, |w| Ok((may_refill && refill(w, counts)?, next_upload(w)?)))?;
        if made {
            self.upkeep.refill_after = turn.now.saturating_add(REFILL_EVERY_MS);
        }
        match upload {
            Some(Upload { request, ids }) => {
                self.upkeep.uploading = true;
                self.ask(turn, Asked::Upload { published: ids }, &Request::PrekeyUpload(request))
            }
            None => {
                let later = turn.now.saturating_add(UPKEEP_EVERY_MS);
                self.upkeep.prekeys_at = if may_refill { later } else { self.upkeep.refill_after };
                Ok(())
            }
        }
    }

    pub(super) fn on_uploaded(
        &mut self,
        turn: &mut Turn<'_>,
        published: &[(PrekeyKind, Vec<u32>)],
        response: Response,
    ) -> Result<(), Fault> {
        self.upkeep.uploading = false;
        match response {
            Response::PrekeyCounts(counts) => {
                self.link.prekeys = Some(counts);
                let more = self.transact(turn, |w| {
                    for (kind, ids) in published {
                        w.tx.prekeys_published(*kind, ids)?;
                    }
                    Ok(next_upload(w)?.is_some())
                })?;
                self.upkeep.refill_after = turn.now.saturating_add(REFILL_EVERY_MS);
                self.upkeep.prekeys_at = if more { turn.now } else { self.upkeep.refill_after };
                Ok(())
            }
            _ => {
                tracing::warn!("the relay did not take prekeys");
                self.upkeep.refill_after = turn.now.saturating_add(REFILL_EVERY_MS);
                self.upkeep.prekeys_at = self.upkeep.refill_after;
                Ok(())
            }
        }
    }
}

/// Makes what is missing or too old; whether anything was. Kinds of which something still waits to be uploaded are left
/// alone.
fn refill(w: &mut Work<'_>, counts: PrekeyCounts) -> Result<bool, Fault> {
    let mut made_any = false;
    for kind in [PrekeyKind::SignedEc, PrekeyKind::LastResortKem] {
        let made = w.tx.newest_prekey(kind)?.map(|(_, made)| made);
        if made.is_none_or(|made| w.now >= made.saturating_add(ROTATE_AFTER_MS)) {
            make(w, kind, 1)?;
            made_any = true;
        }
    }
    for (kind, left) in [(PrekeyKind::OneTimeEc, counts.one_time), (PrekeyKind::OneTimeKem, counts.kem)] {
        let full = u32::try_from(ONE_TIME_PREKEYS).unwrap_or(0);
        let here = w.tx.prekey_counts(kind)?;
        // A relay that never has any gets no more than this: the last-resort prekey serves meanwhile.
        if left < PREKEYS_LOW && here.unpublished == 0 && here.kept < ONE_TIME_SECRETS {
            make(w, kind, full.saturating_sub(left))?;
            made_any = true;
        }
    }
    Ok(made_any)
}

fn make(w: &mut Work<'_>, kind: PrekeyKind, count: u32) -> Result<(), Fault> {
    let first = w.tx.take_prekey_ids(count)?;
    for id in (first..).take(count as usize) {
        let (account, device) = (w.me.account.as_str(), w.me.device.get());
        let (secret, public) = generate_prekey(kind, id, w.me.secrets()?, account, device, w.now, &mut w.rng);
        w.tx.put_prekey(&secret, &public)?;
    }
    Ok(())
}

fn next_upload(w: &Work<'_>) -> Result<Option<Upload>, Fault> {
    let mut ids = Vec::new();
    let mut take = |kind, max| {
        let prekeys = w.tx.unpublished_prekeys(kind, max)?;
        if !prekeys.is_empty() {
            ids.push((kind, prekeys.iter().map(|prekey| prekey.key_id).collect()));
        }
        Ok::<_, Fault>(prekeys)
    };
    let signed = take(PrekeyKind::SignedEc, 1)?;
    let last_resort = take(PrekeyKind::LastResortKem, 1)?;
    let one_time = take(PrekeyKind::OneTimeEc, ONE_TIME_PREKEYS)?;
    let kem = take(PrekeyKind::OneTimeKem, KEM_PREKEYS_PER_UPLOAD)?;
    let fits = |_| Fault::Internal("prekeys");
    let request = PrekeyUpload {
        signed: signed.first().map(wire::<PREKEY_EC_BYTES>).transpose()?,
        last_resort: last_resort.first().map(wire::<PREKEY_KEM_BYTES>).transpose()?,
        one_time: BoundedVec::new(one_time.iter().map(wire).collect::<Result<_, _>>()?).map_err(fits)?,
        kem: BoundedVec::new(kem.iter().map(wire).collect::<Result<_, _>>()?).map_err(fits)?,
    };
    Ok((!ids.is_empty()).then_some(Upload { request, ids }))
}

fn wire<const N: usize>(prekey: &Prekey) -> Result<ByteArray<N>, Fault> {
    prekey.to_bytes().try_into().map(ByteArray::new).map_err(|_| Fault::Internal("prekey"))
}
