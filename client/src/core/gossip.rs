//! What a peer says about the device lists it sees (R29): a relay that shows different people different lists is found
//! out as soon as they talk.

use subrosa_protocol::content::Gossip;

use super::{Fault, receive::Sender, trust, work::Work};
use crate::store::{Claim, Evidence, KnownList};

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
    let Ok(account) = known.list.account.parse::<subrosa_protocol::Username>() else { return Ok(()) };
    if version > known.list.version {
        w.done.want_lists.insert(account);
        return Ok(());
    }
    if version < known.list.version || hash == known.hash {
        return Ok(());
    }
    w.tx.put_evidence(&Evidence {
        account,
        found_at: w.now,
        ours: known.signed.clone(),
        theirs: None,
        claim: Some(Claim { by: sender.account.clone(), device: sender.device, version, hash }),
    })?;
    if w.is_me(&sender.account) {
        // Own devices disagree: the whole chain, held against what this device knows, decides.
        w.done.want_chains.insert(sender.account.clone());
        return Ok(());
    }
    trust::forked(w, &sender.account)
}
