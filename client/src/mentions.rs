//! Mentions in a text: `@name`.

/// The words behind each `@` of a text, in order: letters, digits and `_`. Empty where none stands there.
pub fn mentions(text: &str) -> impl Iterator<Item = &str> {
    text.split('@').skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    })
}
