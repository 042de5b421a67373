//! Names and ids: each a type with one constructor that can fail.

use std::{
    fmt,
    hash::{Hash, Hasher},
    num::NonZeroU32,
    str::FromStr,
};

use data_encoding::{Encoding, Specification};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Visitor},
};

use crate::limits::{USERNAME_MAX, USERNAME_MIN};

/// Why a name or id was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a username.
    #[error(
        "a username has {USERNAME_MIN} to {USERNAME_MAX} characters: a small letter, then small letters, digits or _"
    )]
    Username,
    /// Not a device id.
    #[error("a device id is a number from 1 to 4294967295")]
    DeviceId,
    /// Not a message or envelope id.
    #[error("an id has 26 characters of Crockford's base 32")]
    Id,
}

/// An account's name on its relay: `^[a-z][a-z0-9_]{2,31}$` (R39). It stands in itself, so that a copy allocates nothing.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Username {
    /// The name and zeros, which come before every character: so names are ordered as texts are.
    bytes: [u8; USERNAME_MAX],
    len: u8,
}

impl Username {
    /// # Errors
    /// [`NameError::Username`] when the text is not of the form above.
    pub fn new(text: impl AsRef<str>) -> Result<Self, NameError> {
        let text = text.as_ref().as_bytes();
        let starts = text.first().is_some_and(u8::is_ascii_lowercase);
        let continues = text.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'_');
        if !starts || !continues || text.len() < USERNAME_MIN {
            return Err(NameError::Username);
        }
        let mut bytes = [0; USERNAME_MAX];
        bytes.get_mut(..text.len()).ok_or(NameError::Username)?.copy_from_slice(text);
        Ok(Self { bytes, len: u8::try_from(text.len()).map_err(|_| NameError::Username)? })
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let text = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        str::from_utf8(text).unwrap_or_default()
    }
}

impl Hash for Username {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Username").field(&self.as_str()).finish()
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Username {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl FromStr for Username {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl<'de> Deserialize<'de> for Username {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Username;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a username")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Username, E> {
                Username::new(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// A device's number in its account, from 1; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId(NonZeroU32);

impl DeviceId {
    /// # Errors
    /// [`NameError::DeviceId`] for 0.
    pub fn new(number: u32) -> Result<Self, NameError> {
        NonZeroU32::new(number).map(Self).ok_or(NameError::DeviceId)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for DeviceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.get().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for DeviceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u32::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Crockford's base 32: what is easily misread is read as what was meant.
fn crockford() -> Option<Encoding> {
    let mut spec = Specification::new();
    spec.symbols.push_str("0123456789ABCDEFGHJKMNPQRSTVWXYZ");
    spec.translate.from.push_str("abcdefghjkmnpqrstvwxyzoOiIlL");
    spec.translate.to.push_str("ABCDEFGHJKMNPQRSTVWXYZ001111");
    spec.encoding().ok()
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name([u8; 16]);

        impl $name {
            /// From 16 bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The 16 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        /// 26 characters of Crockford's base 32.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match crockford() {
                    Some(encoding) => f.write_str(&encoding.encode(&self.0)),
                    None => Err(fmt::Error),
                }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                let bytes = crockford().and_then(|e| e.decode(text.as_bytes()).ok()).ok_or(NameError::Id)?;
                bytes.try_into().map(Self).map_err(|_| NameError::Id)
            }
        }
    };
}

random_id! {
    /// A message's id: 16 random bytes, chosen by its sender.
    MessageId
}
random_id! {
    /// An envelope's id: 16 random bytes, chosen by its sender; the relay accepts each once.
    EnvelopeId
}
random_id! {
    /// The id of an entry of a room's log: 16 random bytes, chosen by its sender; the room accepts each once.
    EntryId
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::{decode, encode};

    #[test]
    fn r39_usernames() {
        for good in ["bob", "a23", "alice_b", &"a".repeat(32)] {
            let name = Username::new(good).unwrap();
            assert_eq!((name.as_str(), name.to_string().as_str()), (good, good));
            assert_eq!(decode::<Username>(&encode(&good).unwrap()).unwrap(), name);
            assert_eq!(encode(&name).unwrap(), encode(&good).unwrap());
        }
        for bad in
            ["", "ab", "Bob", "1bob", "_bob", "bo-b", "bób", "bob ", "bob\n", "а\u{431}в", &"a".repeat(33)]
        {
            assert!(Username::new(bad).is_err(), "{bad}");
            assert!(decode::<Username>(&encode(&bad).unwrap()).is_err(), "{bad}");
        }
    }

    #[test]
    fn device_zero_is_refused() {
        assert!(DeviceId::new(0).is_err());
        assert!(decode::<DeviceId>(&[0]).is_err());
        assert_eq!(decode::<DeviceId>(&[7]).unwrap().get(), 7);
    }

    proptest! {
        #[test]
        fn names_are_ordered_as_texts(one in "[a-z][a-z0-9_]{2,6}", other in "[a-z][a-z0-9_]{2,6}") {
            let name = |text: &String| Username::new(text).unwrap();
            prop_assert_eq!(name(&one).cmp(&name(&other)), one.cmp(&other));
            prop_assert_eq!(name(&one) == name(&other), one == other);
        }

        #[test]
        fn ids_round_trip_and_forgive_misreadings(bytes in any::<[u8; 16]>()) {
            let id = MessageId::from_bytes(bytes);
            let text = id.to_string();
            prop_assert_eq!(text.len(), 26);
            prop_assert_eq!(text.parse::<MessageId>().unwrap(), id);
            let misread = text.to_lowercase().replace('0', "o").replace('1', "l");
            prop_assert_eq!(misread.parse::<MessageId>().unwrap(), id);
        }

        #[test]
        fn ids_from_garbage_never_panic(text in ".{0,40}") {
            let _ = text.parse::<MessageId>();
        }
    }
}
