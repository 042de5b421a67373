//! Registering an account, and logging in on a further device.
//!
//! Both go the same way: look whether the relay is there and is the right one; make the profile with all its keys, durable
//! (R21); then tell the relay. What is interrupted in between is taken up again by the same command: the profile says
//! [`Progress::Joining`](crate::store::Progress::Joining) until the relay has said yes. A profile that was made for a join
//! which the relay refuses is removed again.
//!
//! | file | what it does |
//! |---|---|
//! | `material` | the keys of a new device |
//! | `relay` | the questions to the relay: register, log in, prove |
//! | `key_packages` | the first keys for rooms |
//! | `profile` | making, taking up and removing the profile |

mod key_packages;
mod material;
mod profile;
mod relay;

use std::time::Duration;

use subrosa_crypto::account::AccountSecret;
use subrosa_protocol::{AccountAddress, JoinLink, RelayAddress, SafeText, Username};
use zeroize::Zeroizing;

use self::{
    material::NewDevice,
    profile::{Begun, Made, begin},
    relay::Joining,
};
use crate::{
    api::{ApiError, Kind},
    profile::ProfilePaths,
    store::{Identity, Store},
};

/// How long joining waits for the relay to take the first KeyPackages.
const ROOMS_WITHIN: Duration = Duration::from_secs(10);

/// What somebody gives to register.
pub struct JoinParams {
    /// The relay, and an invite where it asks for one.
    pub link: JoinLink,
    /// The wanted name.
    pub name: Username,
    /// What others see; made safe and cut by [`SafeText::name`].
    pub display_name: String,
    /// Opens the profile here and the account at the relay.
    pub passphrase: Zeroizing<String>,
}

/// A registered account.
pub struct Joined {
    /// Its profile, open.
    pub store: Store,
    /// The 24 recovery words. Show them once, on purpose.
    pub words: Zeroizing<String>,
    /// `alice@relay.example`.
    pub address: String,
}

/// What somebody gives to log in on a further device.
pub struct LoginParams {
    /// The relay.
    pub relay: RelayAddress,
    /// The account.
    pub name: Username,
    /// That of the account; it opens the profile here as well.
    pub passphrase: Zeroizing<String>,
    /// The 24 recovery words.
    pub words: Zeroizing<String>,
}

/// A further device of an account.
pub struct LoggedIn {
    /// Its profile, open.
    pub store: Store,
    /// `alice@relay.example`.
    pub address: String,
    /// The device's number.
    pub device: u32,
}

/// Registers an account with its first device.
///
/// # Errors
/// [`Kind::Identity`] when the relay's key is not the pinned one, [`Kind::Unreachable`] when it does not answer,
/// [`Kind::Refused`] when the name is taken, the invite is of no use, or the profile is in use already,
/// [`Kind::NotReady`] when the profile is open elsewhere or the passphrase of an interrupted join is another.
pub async fn join(paths: ProfilePaths, params: JoinParams) -> Result<Joined, ApiError> {
    let (joined, ()) = join_keeping(paths, params, async |_| Ok::<_, ApiError>(())).await?;
    Ok(joined)
}

/// As [`join`], and `keep` brings the recovery words to safety before the profile counts as joined: killed before, the
/// same command takes it up, and there are the words again.
///
/// # Errors
/// As [`join`], and what `keep` says: the account is registered then, and the same command goes on.
pub async fn join_keeping<K, E: From<ApiError>>(
    paths: ProfilePaths,
    params: JoinParams,
    keep: impl AsyncFnOnce(&Zeroizing<String>) -> Result<K, E>,
) -> Result<(Joined, K), E> {
    let JoinParams { link, name, display_name, passphrase } = params;
    drop(relay::connect(&link.relay).await?);
    let account_name = name.clone();
    let relay_address = link.relay.clone();
    let begun = begin(paths, passphrase.clone(), move |store, rng, now| {
        let (account, _) = AccountSecret::generate(rng);
        let new = NewDevice {
            relay: relay_address,
            account: account_name,
            display_name: SafeText::name(&display_name),
        };
        new.first_of(account, store, rng, now)
    })
    .await?;
    let Begun { mut store, made } = begun;
    let step = async {
        let joining = Joining::read(&store, &name, &link.relay)?;
        let words = joining.words();
        let address = address(&joining.identity);
        // An earlier try may have come through without its answer.
        if made != Made::Resumed || !relay::knows(&joining.identity).await? {
            let mut dialogue = relay::connect(&link.relay).await?;
            relay::register(&mut dialogue, &joining, link.invite.as_ref(), passphrase).await?;
            dialogue.finish().await;
        }
        Ok::<_, ApiError>((joining, words, address))
    };
    match step.await {
        Ok((joining, words, address)) => {
            let kept = keep(&words).await?;
            joining.finish(&mut store)?;
            prepare_rooms(&mut store, &joining.identity).await;
            Ok((Joined { store, words, address }, kept))
        }
        Err(error) => Err(profile::give_up(store, made, error).into()),
    }
}

/// Logs in on a further device: the passphrase opens the account at the relay, the recovery words sign the device into
/// its list.
///
/// # Errors
/// As [`join`]; [`Kind::NotReady`] for a wrong name or passphrase, [`Kind::Usage`] for words that are no recovery words,
/// [`Kind::Identity`] for words of another account.
pub async fn login(paths: ProfilePaths, params: LoginParams) -> Result<LoggedIn, ApiError> {
    let LoginParams { relay, name, passphrase, words } = params;
    let account = AccountSecret::from_words(&words).map_err(|error| {
        ApiError::new(Kind::Usage, format!("these are not the recovery words: {error}"))
            .hint("there are 24 words, in the order they were shown at registration")
    })?;
    // The relay decides before anything is made here: a wrong passphrase leaves nothing behind. The same connection adds
    // the device afterwards, so that one login is one attempt.
    let mut dialogue = relay::connect(&relay).await?;
    let list = relay::log_in(&mut dialogue, &name, passphrase.clone()).await?;
    if list.account_key != account.public() {
        return Err(ApiError::new(
            Kind::Identity,
            format!("these recovery words are of another account than {name}"),
        )
        .hint("check that words and name belong together"));
    }
    let (account_name, relay_address, current) = (name.clone(), relay.clone(), list.clone());
    let Begun { mut store, made } = begin(paths, passphrase, move |store, rng, now| {
        let new =
            NewDevice { relay: relay_address, account: account_name, display_name: SafeText::default() };
        new.further_of(account, &current, store, rng, now)
    })
    .await?;
    let step = async {
        let joining = Joining::read(&store, &name, &relay)?;
        // An earlier try may have come through without its answer.
        if made != Made::Resumed || !relay::knows(&joining.identity).await? {
            relay::add_device(&mut dialogue, &joining, &list).await?;
        }
        dialogue.finish().await;
        Ok(joining)
    };
    match step.await {
        Ok(joining) => {
            joining.finish(&mut store)?;
            prepare_rooms(&mut store, &joining.identity).await;
            let (address, device) = (address(&joining.identity), joining.identity.device.get());
            Ok(LoggedIn { store, address, device })
        }
        Err(error) => Err(profile::give_up(store, made, error)),
    }
}

/// Whoever comes in can be invited to rooms at once. It is no part of joining: what fails is done with the first connection.
async fn prepare_rooms(store: &mut Store, identity: &Identity) {
    let published = key_packages::publish(store, identity, profile::now());
    match tokio::time::timeout(ROOMS_WITHIN, published).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::info!(%error, "KeyPackages are handed over later"),
        Err(_) => tracing::info!("KeyPackages are handed over later: the relay is slow"),
    }
}

fn address(identity: &Identity) -> String {
    AccountAddress { name: identity.account.clone(), relay: Some(identity.relay.authority()) }.to_string()
}
