//! The external editor of Ctrl-O: the draft in a file of mode 0600 in a folder of mode 0700, and everything the editor left
//! there overwritten and removed afterwards.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    process::Command,
};

use subrosa_protocol::limits::TEXT_BYTES;

/// Opens the editor on a draft and waits for it. Returns what it saved, or why there is nothing, in a line for people.
///
/// # Errors
/// A line for people: the editor was not found or failed, or there is no room for the file.
pub fn edit(draft: &str, editor: Option<&str>, scratch: Option<&Path>) -> Result<String, String> {
    let mut folder = tempfile::Builder::new();
    folder.prefix("rosa-").permissions(fs::Permissions::from_mode(0o700));
    let folder = match scratch {
        Some(path) => folder.tempdir_in(path),
        None => folder.tempdir(),
    }
    .map_err(|error| format!("no file for the editor: {}", error.kind()))?;
    let path = folder.path().join("message.txt");
    let result = write(&path, draft)
        .map_err(|error| format!("no file for the editor: {}", error.kind()))
        .and_then(|()| run(&command(editor), &path))
        .and_then(|()| read(&path).map_err(|error| format!("the editor left no text: {}", error.kind())));
    wipe(folder.path());
    result
}

/// `$VISUAL`, `$EDITOR`, `vi`, unless it was set.
fn command(editor: Option<&str>) -> String {
    let from = |name| std::env::var(name).ok().filter(|value: &String| !value.trim().is_empty());
    editor
        .map(str::to_owned)
        .or_else(|| from("VISUAL"))
        .or_else(|| from("EDITOR"))
        .unwrap_or_else(|| "vi".to_owned())
}

fn write(path: &Path, draft: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(draft.as_bytes())
}

/// Runs the editor without a shell; words of the setting are its arguments.
fn run(command: &str, path: &Path) -> Result<(), String> {
    let mut words = command.split_whitespace();
    let program = words.next().unwrap_or("vi");
    let status = Command::new(program).args(words).arg(path).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err("the editor failed; the draft is as it was".to_owned()),
        Err(error) => Err(format!("cannot start the editor {program}: {}", error.kind())),
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    // One byte more than a message may have, so that a longer one is seen to be too long.
    let limit = u64::try_from(TEXT_BYTES + 1).unwrap_or(u64::MAX);
    fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Overwrites and removes what is in the folder: the file, and the editor's swap and backup files.
fn wipe(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        if meta.is_file()
            && let Ok(mut file) = OpenOptions::new().write(true).open(&path)
        {
            let _ = io::copy(&mut io::repeat(0).take(meta.len()), &mut file);
            let _ = file.sync_all();
        }
        let _ = fs::remove_file(&path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(folder: &Path, body: &str) -> String {
        let path = folder.join("editor.sh");
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn the_draft_goes_out_and_comes_back_and_nothing_stays() {
        let folder = tempfile::tempdir().unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let seen = folder.path().join("seen");
        let body = format!(
            "stat -c '%a' \"$1\" > {0}; stat -c '%a' \"$(dirname \"$1\")\" >> {0}; cp \"$1\" \"$1~\"; echo more >> \"$1\"",
            seen.display()
        );
        let text = edit("draft ", Some(&script(folder.path(), &body)), Some(scratch.path())).unwrap();
        assert_eq!(text, "draft more\n");
        assert_eq!(fs::read_to_string(seen).unwrap(), "600\n700\n");
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_failing_editor_is_told() {
        let scratch = tempfile::tempdir().unwrap();
        assert!(edit("x", Some("/bin/false"), Some(scratch.path())).unwrap_err().contains("failed"));
        assert!(
            edit("x", Some("/nonexistent/editor"), Some(scratch.path()))
                .unwrap_err()
                .contains("cannot start")
        );
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    }
}
