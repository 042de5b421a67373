//! How long a passphrase would hold against somebody who has the profile's files.

use zxcvbn::{Score, zxcvbn};

/// What a guesser would need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strength {
    score: u8,
    guesses_log10: u32,
}

/// Judges a passphrase; what belongs to the person (their name) counts as known.
#[must_use]
pub fn judge(passphrase: &str, known: &[&str]) -> Strength {
    // More than 100 characters cost zxcvbn seconds and are strong by any measure that the first 100 are.
    let start = passphrase
        .char_indices()
        .nth(100)
        .map_or(passphrase, |(at, _)| passphrase.get(..at).unwrap_or(passphrase));
    let entropy = zxcvbn(start, known);
    let score = match entropy.score() {
        Score::Zero => 0,
        Score::One => 1,
        Score::Two => 2,
        Score::Three => 3,
        _ => 4,
    };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let guesses_log10 = entropy.guesses_log10().max(0.0) as u32;
    Strength { score, guesses_log10 }
}

impl Strength {
    /// Whether somebody should think again.
    #[must_use]
    pub const fn is_weak(&self) -> bool {
        self.score < 2
    }
}

impl std::fmt::Display for Strength {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (word, bar) = match self.score {
            0 => ("very weak", "#...."),
            1 => ("weak", "##..."),
            2 => ("fair", "###.."),
            3 => ("strong", "####."),
            _ => ("very strong", "#####"),
        };
        // A guess at the vault costs about a second of one core.
        let time = match self.guesses_log10 {
            0..=3 => "minutes to hours",
            4..=5 => "a day",
            6..=7 => "months",
            8..=9 => "decades",
            _ => "centuries",
        };
        write!(f, "[{bar}] {word}: about {time} of guessing on one core")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strength_follows_what_a_guesser_knows() {
        assert!(judge("password", &[]).is_weak());
        assert!(judge("alice1", &["alice"]).is_weak());
        assert!(!judge("correct horse battery staple", &[]).is_weak());
        assert!(judge("", &[]).is_weak());
        let long = "x7 ".repeat(5_000);
        let began = std::time::Instant::now();
        let _ = judge(&long, &[]);
        assert!(began.elapsed().as_secs() < 5);
        assert_eq!(
            judge("password", &[]).to_string(),
            "[#....] very weak: about minutes to hours of guessing on one core"
        );
    }
}
