//! Addresses: of a relay (`rosa://host:port/fingerprint`), of an account (`alice@relay.example`), and the link by which
//! somebody joins (`rosa://host:port/fingerprint#secret`).

use std::{fmt, str::FromStr};

use data_encoding::{Encoding, Specification};

use crate::{limits::HOST_BYTES, names::Username};

/// The port a relay listens on when its address names none.
pub const DEFAULT_PORT: u16 = 4433;
const SCHEME: &str = "rosa://";

/// Why an address was refused. The messages are for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Does not begin with `rosa://`.
    #[error("a relay address begins with rosa://")]
    Scheme,
    /// The host is empty, too long or has characters no host has.
    #[error("the address has no usable host name")]
    Host,
    /// The port is not a number from 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// The fingerprint is damaged.
    #[error("the fingerprint after the last / is damaged: it has 52 characters; copy the whole address")]
    Fingerprint,
    /// The invite secret is damaged.
    #[error("the invite after # is damaged: it has 26 characters; copy the whole link")]
    Invite,
    /// The username is not one.
    #[error("{0}")]
    Name(#[from] crate::names::NameError),
}

fn base32() -> Option<Encoding> {
    let mut spec = Specification::new();
    spec.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    spec.translate.from.push_str("ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    spec.translate.to.push_str("abcdefghijklmnopqrstuvwxyz");
    spec.encoding().ok()
}

fn encode32(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(&base32().ok_or(fmt::Error)?.encode(bytes))
}

fn decode32<const N: usize>(text: &str) -> Option<[u8; N]> {
    base32()?.decode(text.as_bytes()).ok()?.try_into().ok()
}

/// SHA-256 of the relay's SubjectPublicKeyInfo in DER; 52 characters of base 32 in an address (R1).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        encode32(&self.0, f)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        encode32(&self.0, f)
    }
}

impl FromStr for Fingerprint {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        decode32(text).map(Self).ok_or(AddressError::Fingerprint)
    }
}

/// The secret of an invite: 16 random bytes, 26 characters of base 32 in a link (R42).
#[derive(Clone, PartialEq, Eq)]
pub struct InviteSecret(pub [u8; 16]);

impl fmt::Display for InviteSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        encode32(&self.0, f)
    }
}

impl fmt::Debug for InviteSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[invite]")
    }
}

impl FromStr for InviteSecret {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        decode32(text).map(Self).ok_or(AddressError::Invite)
    }
}

/// Where a relay is and which key it has.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RelayAddress {
    /// Host name, IPv4 address, or IPv6 address without brackets; small letters.
    pub host: String,
    /// UDP port, and TCP port when that is offered.
    pub port: u16,
    /// The pinned key; without it the certificate must verify against the system's roots.
    pub fingerprint: Option<Fingerprint>,
}

impl RelayAddress {
    /// `host` or `host:port` when the port is not the default one: the part after `@` in an account's address.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == DEFAULT_PORT { host } else { format!("{host}:{}", self.port) }
    }
}

impl fmt::Display for RelayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{SCHEME}{open}{}{close}:{}", self.host, self.port)?;
        match &self.fingerprint {
            Some(fingerprint) => write!(f, "/{fingerprint}"),
            None => Ok(()),
        }
    }
}

impl FromStr for RelayAddress {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let rest = text.trim().strip_prefix(SCHEME).ok_or(AddressError::Scheme)?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let fingerprint = if path.is_empty() { None } else { Some(path.parse()?) };
        let (host, port) = parse_authority(authority)?;
        Ok(Self { host, port, fingerprint })
    }
}

fn parse_authority(text: &str) -> Result<(String, u16), AddressError> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or(AddressError::Host)?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| AddressError::Host)?;
        let port =
            if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or(AddressError::Port)?) };
        (host, port)
    } else {
        let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
        let plain = host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
        if !plain || host.starts_with(['-', '.']) {
            return Err(AddressError::Host);
        }
        (host, port)
    };
    if host.is_empty() || host.len() > HOST_BYTES {
        return Err(AddressError::Host);
    }
    let port = match port {
        None => DEFAULT_PORT,
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().ok().filter(|port| *port != 0).ok_or(AddressError::Port)?
        }
        Some(_) => return Err(AddressError::Port),
    };
    Ok((host.to_ascii_lowercase(), port))
}

/// What an operator hands to a new user: a relay, and an invite where the relay asks for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinLink {
    /// The relay.
    pub relay: RelayAddress,
    /// The invite.
    pub invite: Option<InviteSecret>,
}

impl fmt::Display for JoinLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.invite {
            Some(invite) => write!(f, "{}#{invite}", self.relay),
            None => self.relay.fmt(f),
        }
    }
}

impl FromStr for JoinLink {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (relay, invite) =
            text.trim().split_once('#').map_or((text, None), |(relay, invite)| (relay, Some(invite)));
        Ok(Self { relay: relay.parse()?, invite: invite.map(str::parse).transpose()? })
    }
}

/// `alice` or `alice@relay.example`. Names are looked up on the profile's own relay; another relay's are refused there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountAddress {
    /// The account.
    pub name: Username,
    /// The relay's authority, when one is named.
    pub relay: Option<String>,
}

impl fmt::Display for AccountAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.relay {
            Some(relay) => write!(f, "{}@{relay}", self.name),
            None => self.name.fmt(f),
        }
    }
}

impl FromStr for AccountAddress {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        let (name, relay) = text.split_once('@').map_or((text, None), |(name, relay)| (name, Some(relay)));
        let relay = match relay {
            None => None,
            Some(authority) => {
                let (host, port) = parse_authority(authority)?;
                Some(RelayAddress { host, port, fingerprint: None }.authority())
            }
        };
        Ok(Self { name: Username::new(name)?, relay })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FP: &str = "mfrggzdfmztwq2lkmfrggzdfmztwq2lkmfrggzdfmztwq2lkmfra";

    #[test]
    fn addresses_round_trip() {
        let link = format!("rosa://[::1]:4433/{}#{}", Fingerprint([7; 32]), InviteSecret([9; 16]));
        assert_eq!(link.parse::<JoinLink>().unwrap().to_string(), link);
        let plain: RelayAddress = "rosa://Relay.Example".parse().unwrap();
        assert_eq!(plain, RelayAddress { host: "relay.example".into(), port: 4433, fingerprint: None });
        assert_eq!(
            "alice@relay.example:5000".parse::<AccountAddress>().unwrap().to_string(),
            "alice@relay.example:5000"
        );
        assert_eq!("alice@[::1]".parse::<AccountAddress>().unwrap().relay.unwrap(), "[::1]");
    }

    #[test]
    fn damaged_addresses_say_what_is_wrong() {
        let error = |text: &str| text.parse::<JoinLink>().unwrap_err();
        assert_eq!(error("http://x"), AddressError::Scheme);
        assert_eq!(error("rosa://"), AddressError::Host);
        assert_eq!(error("rosa://a b:1"), AddressError::Host);
        assert_eq!(error("rosa://h:0"), AddressError::Port);
        assert_eq!(error("rosa://h:+5"), AddressError::Port);
        assert_eq!(error("rosa://h:70000"), AddressError::Port);
        assert_eq!(error("rosa://h:1/abc"), AddressError::Fingerprint);
        assert_eq!(error(&format!("rosa://h:1/{FP}x")), AddressError::Fingerprint);
        assert_eq!(error(&format!("rosa://h:1/{}#abc", Fingerprint([1; 32]))), AddressError::Invite);
        assert!("bob@".parse::<AccountAddress>().is_err());
        assert!("b@h".parse::<AccountAddress>().is_err());
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_is_stable(text in ".{0,80}") {
            for text in [text.clone(), format!("rosa://{text}")] {
                if let Ok(link) = text.parse::<JoinLink>() {
                    prop_assert_eq!(link.to_string().parse::<JoinLink>().unwrap(), link);
                }
                let _ = text.parse::<AccountAddress>();
            }
        }
    }
}
