//! One JSON value a line. Whatever could steer a terminal, hide, or reorder text is written as `\uXXXX`, so that a line is
//! harmless also where somebody looks at it (R50).

use std::io;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};
use subrosa_protocol::SafeText;

struct Escaping;

impl Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, char)) = rest.char_indices().find(|(_, char)| steers(*char)) {
            let (plain, tail) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            for unit in char.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = tail.get(char.len_utf8()..).unwrap_or_default();
        }
        writer.write_all(rest.as_bytes())
    }

    fn write_null<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        CompactFormatter.write_null(writer)
    }
}

/// What [`SafeText`] drops, and no printable ASCII.
fn steers(char: char) -> bool {
    !(' '..='~').contains(&char) && SafeText::multi_line(char.encode_utf8(&mut [0; 4])).is_empty()
}

/// The value as one line of JSON, without the newline.
///
/// # Errors
/// When the value has no JSON form.
pub fn to_line(value: &impl Serialize) -> Result<String, serde_json::Error> {
    let mut bytes = Vec::with_capacity(256);
    value.serialize(&mut Serializer::with_formatter(&mut bytes, Escaping))?;
    // The serializer writes pieces of strings at their boundaries only.
    Ok(String::from_utf8(bytes).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn r50_control_characters_are_escaped() {
        let hostile = "a\u{1b}[2J\u{9b}31m\u{7f}\u{202e}b\u{200f}\u{e0041}\u{2028}\n\tü😀";
        let line = to_line(&hostile).unwrap();
        assert_eq!(line, "\"a\\u001b[2J\\u009b31m\\u007f\\u202eb\\u200f\\udb40\\udc41\\u2028\\n\\tü😀\"");
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), hostile);
    }

    proptest! {
        #[test]
        fn r50_a_line_is_harmless_and_means_the_same(text in any::<String>()) {
            let line = to_line(&text).unwrap();
            prop_assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
            for char in line.chars() {
                prop_assert!(!steers(char), "{:?}", char);
            }
        }
    }
}
