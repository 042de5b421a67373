//! What a person can set in the `[app]` table of `config.toml`. No secrets.

use std::{io, path::Path, time::Duration};

use serde::Deserialize;

/// Most minutes until an idle application locks itself.
const IDLE_MINUTES_MAX: u64 = 24 * 60;

/// How much a notification tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preview {
    /// Who wrote, and what.
    Full,
    /// Who wrote.
    #[default]
    Sender,
    /// That somebody wrote.
    None,
}

/// The `[app]` table.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How much a notification tells.
    pub preview: Preview,
    /// Whether there are notifications at all.
    pub notify: bool,
    /// Minutes without a key until the application locks itself (R49); 0 is never.
    pub idle_lock_minutes: u64,
    /// Whether the mouse is taken: the wheel scrolls, a click opens a chat. The terminal's own selecting then needs Shift.
    pub mouse: bool,
    /// Whether colours are drawn. `NO_COLOR` in the environment turns them off.
    pub color: bool,
    /// The editor of Ctrl-O; without it, `$VISUAL`, `$EDITOR`, `vi`.
    pub editor: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            preview: Preview::default(),
            notify: true,
            idle_lock_minutes: 10,
            mouse: false,
            color: true,
            editor: None,
        }
    }
}

/// Why a configuration could not be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file could not be read.
    #[error("cannot read the configuration: {0}")]
    Read(#[from] io::Error),
    /// Something in it is not understood; the text says where.
    #[error("the configuration is not understood: {0}")]
    Parse(#[from] toml::de::Error),
}

#[derive(Deserialize, Default)]
struct File {
    #[serde(default)]
    app: Settings,
}

impl Settings {
    /// Reads the `[app]` table of a configuration file. A file that is not there is all defaults.
    ///
    /// # Errors
    /// [`SettingsError`] when the file cannot be read or has a setting that does not exist.
    pub fn load(path: &Path) -> Result<Self, SettingsError> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the `[app]` table out of a configuration.
    ///
    /// # Errors
    /// [`SettingsError::Parse`].
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        Ok(toml::from_str::<File>(text)?.app)
    }

    /// After how long without a key the application locks itself.
    #[must_use]
    pub fn idle_lock(&self) -> Option<Duration> {
        (self.idle_lock_minutes > 0)
            .then(|| Duration::from_secs(self.idle_lock_minutes.min(IDLE_MINUTES_MAX) * 60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_mistakes_are_told() {
        let settings =
            Settings::parse("[app]\npreview = \"none\"\nidle_lock_minutes = 3\n[relay]\nx = 1\n").unwrap();
        assert_eq!(settings.preview, Preview::None);
        assert_eq!(settings.idle_lock(), Some(Duration::from_secs(180)));
        assert!(Settings::parse("[app]\ncolour = true").is_err());
        assert_eq!(Settings::parse("").unwrap(), Settings::default());
        assert_eq!(Settings::load(Path::new("/nonexistent/config.toml")).unwrap(), Settings::default());
    }

    #[test]
    fn r49_the_lock_is_on_by_default() {
        assert_eq!(Settings::default().idle_lock(), Some(Duration::from_secs(600)));
        assert_eq!(Settings::parse("[app]\nidle_lock_minutes = 0").unwrap().idle_lock(), None);
    }
}
