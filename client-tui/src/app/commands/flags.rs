//! Flags of slash commands. As on the command line they are taken wherever they stand, `--` ends them, and one that a command
//! does not know is an error, never a text. What stands between quotation marks is no flag.

use strsim::levenshtein;

/// A flag, and whether a value follows it.
#[derive(Debug, Clone, Copy)]
pub struct Flag {
    /// With its two hyphens.
    pub name: &'static str,
    /// Whether a word, or several between quotation marks, follow it or its `=`.
    pub valued: bool,
}

impl Flag {
    /// One that stands alone.
    #[must_use]
    pub const fn alone(name: &'static str) -> Self {
        Self { name, valued: false }
    }

    /// One with a value.
    #[must_use]
    pub const fn valued(name: &'static str) -> Self {
        Self { name, valued: true }
    }
}

/// What follows a command.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Arguments<'a> {
    given: Vec<(&'static str, &'a str)>,
    /// What is no flag. Quotation marks around all of it are left out.
    pub text: String,
}

impl Arguments<'_> {
    /// Whether a flag was given.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// The value of a flag that was given; empty of one that stands alone. Of several the last.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.given.iter().rev().find(|(flag, _)| *flag == name).map(|(_, value)| *value)
    }
}

/// What is wrong with the flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong<'a> {
    /// The command has no such flag.
    Unknown {
        /// As it was written.
        flag: &'a str,
        /// One that is spelled nearly so.
        meant: Option<&'static str>,
    },
    /// The flag has a value, and none was given.
    NoValue(&'static str),
    /// The flag has none, and one was given behind `=`.
    Value(&'static str),
}

/// Reads what follows a command that knows `flags`.
///
/// # Errors
/// The first flag that is wrong.
pub fn read<'a>(arguments: &'a str, flags: &[Flag]) -> Result<Arguments<'a>, Wrong<'a>> {
    let mut found = Arguments::default();
    let mut runs: Vec<&str> = Vec::new();
    let mut rest = arguments.trim();
    let mut ended = false;
    while !rest.is_empty() {
        let end = if ended { rest.len() } else { next_flag(rest) };
        let (text, flagged) = rest.split_at(end);
        runs.extend(Some(text.trim()).filter(|text| !text.is_empty()));
        let (written, after) = first_word(flagged);
        if written.is_empty() || written == "--" {
            ended |= !written.is_empty();
            rest = after;
            continue;
        }
        let (name, joined) = written.split_once('=').map_or((written, false), |(name, _)| (name, true));
        let Some(flag) = flags.iter().find(|flag| flag.name == name) else {
            return Err(Wrong::Unknown { flag: name, meant: nearest(name, flags) });
        };
        rest = match (flag.valued, joined) {
            (false, true) => return Err(Wrong::Value(flag.name)),
            (false, false) => {
                found.given.push((flag.name, ""));
                after
            }
            (true, _) => {
                let behind =
                    if joined { flagged.split_once('=').map_or("", |(_, rest)| rest) } else { after };
                let (value, behind) = value(behind);
                // A value may be empty where quotation marks say so.
                if value
                    .is_none_or(|(value, quoted)| !quoted && (value.is_empty() || value.starts_with("--")))
                {
                    return Err(Wrong::NoValue(flag.name));
                }
                found.given.extend(value.map(|(value, _)| (flag.name, value)));
                behind
            }
        };
    }
    found.text = match runs.as_slice() {
        [all] if !ended => unquoted(all).to_owned(),
        runs => runs.join(" "),
    };
    Ok(found)
}

/// Where the next word that begins with `--` begins, outside quotation marks; or the end.
fn next_flag(text: &str) -> usize {
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("--") {
            return at;
        }
        let quoted = rest.strip_prefix('"').and_then(|rest| rest.find('"')).map_or(0, |end| end + 2);
        let after = rest.get(quoted..).unwrap_or_default();
        let word = quoted + after.find(char::is_whitespace).unwrap_or(after.len());
        let behind = rest.get(word..).unwrap_or_default();
        at += word + (behind.len() - behind.trim_start().len());
    }
    text.len()
}

/// The first word, and what follows it.
fn first_word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()));
    (word, rest.trim_start())
}

/// A word, or what stands between quotation marks (`true`); and what follows it.
fn value(text: &str) -> (Option<(&str, bool)>, &str) {
    match text.strip_prefix('"').and_then(|text| text.split_once('"')) {
        Some((value, rest)) => (Some((value, true)), rest.trim_start()),
        None => {
            let (word, rest) = first_word(text);
            (Some((word, false)).filter(|(word, _)| !word.is_empty()), rest)
        }
    }
}

fn unquoted(text: &str) -> &str {
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    inner.filter(|inner| !inner.contains('"')).unwrap_or(text)
}

/// The flag whose name is at most two slips away.
fn nearest(name: &str, flags: &[Flag]) -> Option<&'static str> {
    let start: String = name.chars().take(32).collect();
    let slips = |flag: &&Flag| levenshtein(&start, flag.name);
    flags.iter().min_by_key(slips).filter(|flag| slips(flag) <= 2).map(|flag| flag.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &[Flag] = &[Flag::alone("--public"), Flag::alone("--large"), Flag::valued("--slug")];

    fn all(arguments: &str) -> (String, bool, Option<String>) {
        let read = read(arguments, FLAGS).unwrap_or_else(|wrong| panic!("{arguments}: {wrong:?}"));
        (read.text.clone(), read.has("--public"), read.value("--slug").map(str::to_owned))
    }

    #[test]
    fn flags_are_taken_wherever_they_stand() {
        let ops = ("My ops".to_owned(), true, Some("ops".to_owned()));
        for line in [
            "--public --slug ops My ops",
            "My ops --public --slug ops",
            "My --slug ops ops --public",
            "--slug=ops My ops --public",
            "--slug \"ops\" --public \"My ops\"",
            "\"My ops\" --slug=\"ops\" --public",
            "  --slug x --slug ops   My ops --public  ",
        ] {
            assert_eq!(all(line), ops, "{line}");
        }
        assert_eq!(all(""), Default::default());
        assert_eq!(all("on call - now"), ("on call - now".into(), false, None));
        assert_eq!(all("a  b"), ("a  b".into(), false, None), "what is a text stays as it is");
    }

    #[test]
    fn two_hyphens_and_quotation_marks_end_them() {
        assert_eq!(all("--public -- --slug x"), ("--slug x".into(), true, None));
        assert_eq!(all("a -- --public"), ("a --public".into(), false, None));
        assert_eq!(all("-- \"a\""), ("\"a\"".into(), false, None));
        assert_eq!(all("\"--public\""), ("--public".into(), false, None));
        assert_eq!(all("The \"--public one\" here"), ("The \"--public one\" here".into(), false, None));
        assert_eq!(all("a --slug \"\""), ("a".into(), false, Some(String::new())));
        assert_eq!(
            all("a \"b --public"),
            ("a \"b".into(), true, None),
            "an open quotation mark is a character"
        );
    }

    #[test]
    fn what_is_no_flag_is_an_error() {
        let wrong = |line| read(line, FLAGS).unwrap_err();
        assert_eq!(wrong("x --pubic"), Wrong::Unknown { flag: "--pubic", meant: Some("--public") });
        assert_eq!(wrong("--nonsense=7 x"), Wrong::Unknown { flag: "--nonsense", meant: None });
        assert_eq!(wrong("x ---"), Wrong::Unknown { flag: "---", meant: None });
        assert_eq!(wrong("x --slug"), Wrong::NoValue("--slug"));
        assert_eq!(wrong("--slug --public x"), Wrong::NoValue("--slug"));
        assert_eq!(wrong("--slug= x"), Wrong::NoValue("--slug"));
        assert_eq!(wrong("--public=yes x"), Wrong::Value("--public"));
        assert_eq!(read("--x", &[]).unwrap_err(), Wrong::Unknown { flag: "--x", meant: None });
    }
}
