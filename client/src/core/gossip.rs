//! What a peer says about the device lists it sees (R29): a relay that shows different people different lists is found
//! out as soon as they talk.

use std::collections::BTreeMap;

use subrosa_protocol::{Username, content::Gossip};

use super::{Fault, receive::Sender, trust, work::Work};
use crate::store::{Claim, Evidence, KnownList};

/// What follows from gossip once the transaction is durable.
#[derive(Default)]
pub(super) struct Heard {
    /// Lists newer than the known one that somebody vouches for.
    pub(super) claims: BTreeMap<Username, Claim>,
    /// An own device is shown other lists of this account than this one.
    pub(super) own_contradiction: bool,
}

/// Compares a peer's heads with what is known here.
pub(super) fn hear(
    w: &mut Work<'_>,
    sender: &Sender,
    theirs: &KnownList,
    gossip: &Gossip,
) -> Result<(), Fault> {
    compare(w, sender, theirs, gossip.own)?;
    if w.is_me(&sender.account) {
        return Ok(());
    }
    match w.list(&w.me.account)? {
        Some(own) => compare(w, sender, &own, gossip.peer),
        None => Ok(()),
    }
}

fn compare(w: &mut Work<'_>, sender: &Sender, known: &KnownList, said: (u64, [u8; 32])) -> Result<(), Fault> {
    let (version, hash) = said;
    let Ok(account) = known.list.account.parse::<Username>() else { return Ok(()) };
    let claim = Claim { by: sender.account.clone(), device: sender.device, version, hash };
    if version > known.list.version {
        w.done.want_lists.insert(account.clone());
        w.done.heard.claims.insert(account, claim);
        return Ok(());
    }
    if version < known.list.version || hash == known.hash {
        return Ok(());
    }
    contradicted(w, known, claim)
}

/// A list that somebody vouched for was looked up after that: the relay must have shown it, or a newer one.
pub(super) fn looked_up(w: &mut Work<'_>, account: &Username, claim: Claim) -> Result<(), Fault> {
    let Some(known) = w.list(account)? else { return Ok(()) };
    let shown =
        known.list.version > claim.version || known.list.version == claim.version && known.hash == claim.hash;
    if shown { Ok(()) } else { contradicted(w, &known, claim) }
}

/// A device saw another list than this one is shown, and its session vouches for what it says.
fn contradicted(w: &mut Work<'_>, known: &KnownList, claim: Claim) -> Result<(), Fault> {
    let Ok(account) = known.list.account.parse() else { return Ok(()) };
    let by = claim.by.clone();
    w.tx.put_evidence(&Evidence {
        account,
        found_at: w.now,
        ours: known.signed.clone(),
        theirs: None,
        claim: Some(claim),
    })?;
    if w.is_me(&by) {
        // Own devices are shown different lists: nothing is done before a person knows.
        w.done.heard.own_contradiction = true;
        return Ok(());
    }
    trust::forked(w, &by)
}
