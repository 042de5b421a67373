//! Splits `--passphrase-command` into words the way a POSIX shell quotes them, and does nothing else a shell does: no
//! variables, no globs, no `;`, no pipes. Whoever wants those names a script.

/// Why a command line was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ArgvError {
    /// A `'` or `"` is never closed.
    #[error("a quotation mark in the command is not closed")]
    Quote,
    /// Ends with a backslash.
    #[error("the command ends with a backslash")]
    Backslash,
    /// No word at all.
    #[error("the command is empty")]
    Empty,
}

/// The words of a command line.
///
/// # Errors
/// When it is empty or its quotes do not close.
pub fn split(line: &str) -> Result<Vec<String>, ArgvError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        match char {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or(ArgvError::Quote)? {
                        '\'' => break,
                        plain => word.push(plain),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or(ArgvError::Quote)? {
                        '"' => break,
                        '\\' => match chars.next().ok_or(ArgvError::Quote)? {
                            escaped @ ('"' | '\\' | '$' | '`') => word.push(escaped),
                            other => word.extend(['\\', other]),
                        },
                        plain => word.push(plain),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next().ok_or(ArgvError::Backslash)?),
            plain => word.get_or_insert_default().push(plain),
        }
    }
    words.extend(word);
    if words.is_empty() { Err(ArgvError::Empty) } else { Ok(words) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_would_and_nothing_is_expanded() {
        assert_eq!(split("pass show rosa").unwrap(), ["pass", "show", "rosa"]);
        assert_eq!(split("  a  'b c' \"d \\\" e\" f\\ g '' ").unwrap(), ["a", "b c", "d \" e", "f g", ""]);
        assert_eq!(split("echo $HOME;`id` *|x").unwrap(), ["echo", "$HOME;`id`", "*|x"]);
        assert_eq!(split("a'b'\"c\"").unwrap(), ["abc"]);
    }

    #[test]
    fn damaged_commands_are_refused() {
        assert_eq!(split(" \t"), Err(ArgvError::Empty));
        assert_eq!(split("a 'b"), Err(ArgvError::Quote));
        assert_eq!(split("a \"b\\"), Err(ArgvError::Quote));
        assert_eq!(split("a\\"), Err(ArgvError::Backslash));
    }
}
