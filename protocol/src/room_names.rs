//! Names of rooms: the id that every room has, and the slug of a public one.

use std::{fmt, str::FromStr};

use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{
    BoundedStr,
    limits::{SLUG_MAX, SLUG_MIN},
};

/// Why a room's name was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RoomNameError {
    /// Not a room id.
    #[error("a room id has 26 characters of base 32")]
    RoomId,
    /// Not a slug.
    #[error("a slug has {SLUG_MIN} to {SLUG_MAX} characters: small letters, digits and -, no - at the start")]
    Slug,
}

/// A room's id: 16 random bytes, chosen by the client that creates it. All that a relay knows of a private room's name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RoomId([u8; 16]);

impl RoomId {
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

    /// The id of the room's MLS group: the room's id, then the generation (u32, little-endian): 0 for the first group, one
    /// more with each reboot.
    #[must_use]
    pub fn group_id(&self, generation: u32) -> [u8; 20] {
        let mut id = [0; 20];
        let (room, rest) = id.split_at_mut(16);
        room.copy_from_slice(&self.0);
        rest.copy_from_slice(&generation.to_le_bytes());
        id
    }
}

/// 26 characters of base 32 (RFC 4648) in small letters, without padding.
impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

impl fmt::Debug for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RoomId({self})")
    }
}

impl FromStr for RoomId {
    type Err = RoomNameError;
    /// Capital letters are read as small ones.
    fn from_str(text: &str) -> Result<Self, RoomNameError> {
        let bytes = BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes());
        bytes.ok().and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(RoomNameError::RoomId)
    }
}

/// A public room's name in addresses and commands, one room a slug on a relay: `^[a-z0-9][a-z0-9-]{1,31}$`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Slug(String);

impl Slug {
    /// # Errors
    /// [`RoomNameError::Slug`] when the text is not of the form above.
    pub fn new(text: impl Into<String>) -> Result<Self, RoomNameError> {
        let text = text.into();
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let starts = text.bytes().next().is_some_and(allowed);
        if starts
            && text.bytes().all(|b| allowed(b) || b == b'-')
            && (SLUG_MIN..=SLUG_MAX).contains(&text.len())
        {
            Ok(Self(text))
        } else {
            Err(RoomNameError::Slug)
        }
    }

    /// A slug out of a room's name: its ASCII letters in small, its digits, and one `-` for whatever is between; letters
    /// with marks of the Latin alphabets that people write here lose them. A word with other letters is left out whole: what
    /// remained of it could look like another room's slug. `room` when nothing is left. The same name always gives the same slug.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        let written = |c: char| c.is_ascii() || !c.is_alphanumeric() || plain(c).is_some();
        let words = name.split_whitespace().filter(|word| word.chars().all(written));
        let name = words.collect::<Vec<_>>().join(" ");
        let mut text = String::new();
        for c in name.chars() {
            match plain(c) {
                Some(letters) => text.push_str(letters),
                // The marks of letters that are written in two characters.
                None if matches!(c, '\u{300}'..='\u{36f}') => {}
                None if c.is_ascii_alphanumeric() => text.push(c.to_ascii_lowercase()),
                None if !text.is_empty() && !text.ends_with('-') => text.push('-'),
                None => {}
            }
        }
        text.truncate(SLUG_MAX);
        let text = text.trim_end_matches('-');
        Self::new(text).unwrap_or_else(|_| Self("room".to_owned()))
    }

    /// This slug with `-number` at its end, cut so that it is not too long: what to try when the slug is taken, with 2, 3
    /// and so on.
    #[must_use]
    pub fn numbered(&self, number: u32) -> Self {
        let end = format!("-{number}");
        let keep = self.0.len().min(SLUG_MAX.saturating_sub(end.len()));
        let stem = self.0.get(..keep).unwrap_or_default().trim_end_matches('-');
        Self(format!("{stem}{end}"))
    }

    /// What two slugs have in common that a reader may take for each other: without `-`, with `0` as `o`, `1` and `i` as
    /// `l`, `5` as `s`, `rn` as `m` and `vv` as `w`. A relay has one room a skeleton.
    #[must_use]
    pub fn skeleton(&self) -> String {
        let same = |c| match c {
            '0' => 'o',
            '1' | 'i' => 'l',
            '5' => 's',
            c => c,
        };
        let letters: String = self.0.chars().filter(|c| *c != '-').map(same).collect();
        letters.replace("rn", "m").replace("vv", "w")
    }

    /// The slug.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Letters with marks, as they are written without.
const fn plain(c: char) -> Option<&'static str> {
    Some(match c {
        'ä' | 'Ä' | 'æ' | 'Æ' => "ae",
        'ö' | 'Ö' | 'œ' | 'Œ' => "oe",
        'ü' | 'Ü' => "ue",
        'ß' => "ss",
        'à' | 'á' | 'â' | 'ã' | 'å' | 'À' | 'Á' | 'Â' | 'Ã' | 'Å' | 'ą' | 'Ą' => "a",
        'ç' | 'Ç' | 'ć' | 'Ć' | 'č' | 'Č' => "c",
        'è' | 'é' | 'ê' | 'ë' | 'È' | 'É' | 'Ê' | 'Ë' | 'ę' | 'Ę' | 'ě' | 'Ě' => "e",
        'ì' | 'í' | 'î' | 'ï' | 'Ì' | 'Í' | 'Î' | 'Ï' => "i",
        'ł' | 'Ł' => "l",
        'ñ' | 'Ñ' | 'ń' | 'Ń' | 'ň' | 'Ň' => "n",
        'ò' | 'ó' | 'ô' | 'õ' | 'ø' | 'Ò' | 'Ó' | 'Ô' | 'Õ' | 'Ø' => "o",
        'ř' | 'Ř' => "r",
        'ś' | 'Ś' | 'š' | 'Š' => "s",
        'ù' | 'ú' | 'û' | 'ů' | 'Ù' | 'Ú' | 'Û' | 'Ů' => "u",
        'ý' | 'ÿ' | 'Ý' => "y",
        'ź' | 'Ź' | 'ż' | 'Ż' | 'ž' | 'Ž' => "z",
        _ => return None,
    })
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Slug {
    type Err = RoomNameError;
    fn from_str(text: &str) -> Result<Self, RoomNameError> {
        Self::new(text)
    }
}

impl<'de> Deserialize<'de> for Slug {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(BoundedStr::<SLUG_MAX>::deserialize(deserializer)?.into_inner()).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec::{decode, encode};

    fn slug(text: &str) -> Slug {
        Slug::new(text).unwrap()
    }

    #[test]
    fn r39_slugs() {
        for good in ["ab", "a2", "42", "rust-lang", "a-", "a--b", &"a".repeat(32)] {
            assert!(Slug::new(good).is_ok(), "{good}");
        }
        for bad in ["", "a", "-a", "A b", "Ab", "a_b", "аb", "a b", "ab\n", "ä1", &"a".repeat(33)] {
            assert!(Slug::new(bad).is_err(), "{bad}");
            assert!(decode::<Slug>(&encode(&bad).unwrap()).is_err(), "{bad}");
        }
    }

    #[test]
    fn slugs_are_made_from_names_and_numbered_when_taken() {
        for (name, made) in [
            ("Rust & Crypto", "rust-crypto"),
            ("  Grüße, Łódź!  ", "gruesse-lodz"),
            ("#42", "42"),
            ("e\u{301}te\u{301}", "ete"),
            ("☃", "room"),
            ("a", "room"),
            ("привет", "room"),
            ("Lоbby", "room"),
            ("Rust по-русски", "rust"),
            ("l０bby chat", "chat"),
            (&"long name ".repeat(9), "long-name-long-name-long-name-lo"),
        ] {
            assert_eq!(Slug::from_name(name).as_str(), made, "{name}");
        }
        assert_eq!(slug("lobby").numbered(2).as_str(), "lobby-2");
        assert_eq!(slug(&"a".repeat(32)).numbered(13).as_str(), format!("{}-13", "a".repeat(29)));
    }

    #[test]
    fn slugs_that_look_alike_have_one_skeleton() {
        for (a, b) in
            [("lobby", "l0bby"), ("admin", "adrnin"), ("ill", "1l1"), ("a-b", "ab"), ("wow", "vvovv")]
        {
            assert_eq!(slug(a).skeleton(), slug(b).skeleton(), "{a} {b}");
        }
        assert_ne!(slug("lobby").skeleton(), slug("lobby-2").skeleton());
    }

    #[test]
    fn a_group_id_is_room_and_generation() {
        let id = RoomId::from_bytes([7; 16]).group_id(258);
        assert_eq!(id[..16], [7; 16]);
        assert_eq!(id[16..], [2, 1, 0, 0]);
    }

    proptest! {
        #[test]
        fn room_ids_round_trip(bytes in any::<[u8; 16]>()) {
            let id = RoomId::from_bytes(bytes);
            let text = id.to_string();
            prop_assert_eq!(text.len(), 26);
            prop_assert_eq!(text.parse::<RoomId>().unwrap(), id);
            prop_assert_eq!(text.to_uppercase().parse::<RoomId>().unwrap(), id);
            prop_assert_eq!(decode::<RoomId>(&encode(&id).unwrap()).unwrap(), id);
        }

        #[test]
        fn whatever_is_written_gives_a_slug(name in ".{0,80}", number in any::<u32>()) {
            let made = Slug::from_name(&name);
            prop_assert!(Slug::new(made.as_str()).is_ok());
            prop_assert!(Slug::new(made.numbered(number).as_str()).is_ok());
            let _ = name.parse::<RoomId>();
        }
    }
}
