//! Lists, strings and byte strings whose bound is part of their type. A longer one is refused while it is read,
//! before room for it is made.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, SeqAccess, Visitor},
};

/// A value is longer than its bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{len} exceeds the limit of {max}")]
pub struct OverBound {
    /// The length it has, in elements or bytes.
    pub len: usize,
    /// The length it may have.
    pub max: usize,
}

const fn check(len: usize, max: usize) -> Result<(), OverBound> {
    if len > max { Err(OverBound { len, max }) } else { Ok(()) }
}

/// At most `MAX` elements.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct BoundedVec<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> BoundedVec<T, MAX> {
    /// # Errors
    /// [`OverBound`] when there are more than `MAX` elements.
    pub fn new(items: Vec<T>) -> Result<Self, OverBound> {
        check(items.len(), MAX).map(|()| Self(items))
    }

    /// The elements.
    #[must_use]
    pub fn into_inner(self) -> Vec<T> {
        self.0
    }
}

impl<T, const MAX: usize> Default for BoundedVec<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MAX: usize> std::ops::Deref for BoundedVec<T, MAX> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: fmt::Debug, const MAX: usize> fmt::Debug for BoundedVec<T, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for BoundedVec<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements<T, const MAX: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Elements<T, MAX> {
            type Value = BoundedVec<T, MAX>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {MAX} elements")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                if let Some(len) = seq.size_hint() {
                    check(len, MAX).map_err(A::Error::custom)?;
                }
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    check(items.len() + 1, MAX).map_err(A::Error::custom)?;
                    items.push(item);
                }
                Ok(BoundedVec(items))
            }
        }
        deserializer.deserialize_seq(Elements(PhantomData))
    }
}

/// At most `MAX` bytes.
#[derive(Clone, PartialEq, Eq, Default, Hash)]
pub struct BoundedBytes<const MAX: usize>(Vec<u8>);

impl<const MAX: usize> BoundedBytes<MAX> {
    /// # Errors
    /// [`OverBound`] when there are more than `MAX` bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, OverBound> {
        let bytes = bytes.into();
        check(bytes.len(), MAX).map(|()| Self(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn into_inner(self) -> Vec<u8> {
        self.0
    }
}

impl<const MAX: usize> std::ops::Deref for BoundedBytes<MAX> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<const MAX: usize> fmt::Debug for BoundedBytes<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes]", self.0.len())
    }
}

impl<const MAX: usize> Serialize for BoundedBytes<MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for BoundedBytes<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes<const MAX: usize>;
        impl<const MAX: usize> Visitor<'_> for Bytes<MAX> {
            type Value = BoundedBytes<MAX>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {MAX} bytes")
            }
            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                check(bytes.len(), MAX).map_err(E::custom)?;
                Ok(BoundedBytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

/// UTF-8 text of at most `MAX` bytes.
#[derive(Clone, PartialEq, Eq, Default, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct BoundedStr<const MAX: usize>(String);

impl<const MAX: usize> BoundedStr<MAX> {
    /// # Errors
    /// [`OverBound`] when the text has more than `MAX` bytes.
    pub fn new(text: impl Into<String>) -> Result<Self, OverBound> {
        let text = text.into();
        check(text.len(), MAX).map(|()| Self(text))
    }

    /// The text, cut at the last character that fits.
    #[must_use]
    pub fn truncated(text: &str) -> Self {
        let mut end = text.len().min(MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self(text.get(..end).unwrap_or_default().to_owned())
    }

    /// The text.
    #[must_use]
    pub fn into_inner(self) -> String {
        self.0
    }
}

impl<const MAX: usize> std::ops::Deref for BoundedStr<MAX> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> fmt::Debug for BoundedStr<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[text of {} bytes]", self.0.len())
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for BoundedStr<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<const MAX: usize>;
        impl<const MAX: usize> Visitor<'_> for Text<MAX> {
            type Value = BoundedStr<MAX>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "text of at most {MAX} bytes")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                check(text.len(), MAX).map_err(E::custom)?;
                Ok(BoundedStr(text.to_owned()))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{decode, encode};

    #[test]
    fn r9_one_past_each_bound_is_refused() {
        let three = encode(&vec![1u32, 2, 3]).unwrap();
        assert!(decode::<BoundedVec<u32, 3>>(&three).is_ok());
        assert!(decode::<BoundedVec<u32, 2>>(&three).is_err());
        let text = encode(&"abc").unwrap();
        assert!(decode::<BoundedStr<3>>(&text).is_ok());
        assert!(decode::<BoundedStr<2>>(&text).is_err());
        assert!(decode::<BoundedBytes<3>>(&text).is_ok());
        assert!(decode::<BoundedBytes<2>>(&text).is_err());
    }

    #[test]
    fn truncation_keeps_characters_whole() {
        assert_eq!(&*BoundedStr::<4>::truncated("aäöü"), "aä");
        assert_eq!(&*BoundedStr::<3>::truncated("aä"), "aä");
    }

    #[test]
    fn contents_stay_out_of_debug_output() {
        assert_eq!(format!("{:?}", BoundedStr::<9>::new("secret").unwrap()), "[text of 6 bytes]");
    }
}
