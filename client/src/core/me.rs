//! Who this profile is, while the engine runs.

use subrosa_crypto::{binding::Party, device::DeviceSecrets, session::LocalDevice};
use subrosa_protocol::{AccountAddress, DeviceId, RelayAddress, SafeText, Username};

use super::Fault;
use crate::{
    api::{ApiError, Kind},
    store::{Identity, IdentityKeys, Progress},
};

/// Why an identity may not send or receive any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retired {
    LoggedOut,
    Quarantined,
}

pub(super) struct Me {
    pub(super) account: Username,
    pub(super) display_name: SafeText,
    pub(super) relay: RelayAddress,
    pub(super) account_key: [u8; 32],
    pub(super) device: DeviceId,
    pub(super) keys: Option<IdentityKeys>,
    pub(super) retired: Option<Retired>,
    /// `alice@relay.example`.
    pub(super) address: String,
}

impl Me {
    pub(super) fn new(identity: Identity) -> Result<Self, ApiError> {
        let retired = match identity.progress {
            Progress::Ready => None,
            Progress::LoggedOut => Some(Retired::LoggedOut),
            Progress::Quarantined => Some(Retired::Quarantined),
            Progress::Joining(_) => {
                return Err(ApiError::new(Kind::NotReady, "joining was begun and not finished")
                    .hint("run the same rosa join or rosa login again"));
            }
        };
        let address =
            AccountAddress { name: identity.account.clone(), relay: Some(identity.relay.authority()) }
                .to_string();
        Ok(Self {
            account: identity.account,
            display_name: identity.display_name,
            relay: identity.relay,
            account_key: identity.account_key,
            device: identity.device,
            keys: identity.keys,
            retired,
            address,
        })
    }

    pub(super) fn keys(&self) -> Result<&IdentityKeys, Fault> {
        match (&self.keys, self.refusal()) {
            (_, Some(error)) => Err(error.into()),
            (Some(keys), None) => Ok(keys),
            (None, None) => Err(Fault::Internal("no keys")),
        }
    }

    pub(super) fn secrets(&self) -> Result<&DeviceSecrets, Fault> {
        self.keys().map(|keys| &keys.device)
    }

    pub(super) fn local(&self) -> Result<LocalDevice<'_>, Fault> {
        Ok(LocalDevice {
            account: self.account.as_str(),
            account_key: self.account_key,
            device_id: self.device.get(),
            secrets: self.secrets()?,
        })
    }

    pub(super) fn party(&self) -> Party<'_> {
        Party { account: self.account.as_str(), account_key: self.account_key, device: self.device.get() }
    }

    /// Why nothing can be sent or received with this profile.
    pub(super) fn refusal(&self) -> Option<ApiError> {
        Some(match self.retired? {
            Retired::LoggedOut => ApiError::new(Kind::NotReady, "this profile is logged out")
                .hint("log in on a new profile: rosa login --profile NAME"),
            Retired::Quarantined => ApiError::new(
                Kind::NotReady,
                "this profile is an old copy: the relay has seen a newer state of this device, so it sends and reads nothing",
            )
            .hint("log in as a new device: rosa login --profile NAME; the messages stored here stay readable"),
        })
    }
}
