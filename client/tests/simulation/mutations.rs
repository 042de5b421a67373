//! The list of deliberate mistakes in `mutations/` fits the code: each text to find stands exactly once in its file.
//! Whether the simulation catches them, `scripts/mutations` finds out.

use std::{collections::BTreeSet, fs, path::Path};

struct Hunk {
    path: String,
    find: String,
    put: String,
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The hunks of a file, in the form that `mutations/README.md` tells.
fn hunks(text: &str) -> Vec<Hunk> {
    let mut hunks: Vec<Hunk> = Vec::new();
    let mut part = "";
    for line in text.lines() {
        if let Some(path) = line.strip_prefix("--- path ") {
            hunks.push(Hunk { path: path.to_owned(), find: String::new(), put: String::new() });
        } else if let Some(next) = line.strip_prefix("--- ") {
            part = next;
        } else if let Some(hunk) = hunks.last_mut() {
            let text = if part == "find" { &mut hunk.find } else { &mut hunk.put };
            text.push_str(line);
            text.push('\n');
        }
    }
    hunks
}

#[test]
fn every_deliberate_mistake_can_be_made() {
    let mut files = 0;
    let mut expected = BTreeSet::new();
    for entry in fs::read_dir(root().join("mutations")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        files += 1;
        let text = fs::read_to_string(&path).unwrap();
        let breaks = text.lines().find_map(|line| line.strip_prefix("breaks: ")).unwrap();
        expected.insert(breaks.to_owned());
        let hunks = hunks(&text);
        assert!(!hunks.is_empty(), "{}: no hunks", path.display());
        for hunk in hunks {
            let code = fs::read_to_string(root().join(&hunk.path)).unwrap();
            let found = code.matches(&hunk.find).count();
            assert_eq!(found, 1, "{}: found {found} times in {}:\n{}", path.display(), hunk.path, hunk.find);
            assert_ne!(hunk.find, hunk.put, "{}", path.display());
        }
    }
    assert!(files >= 10, "{files} mistakes");
    for invariant in ["I1", "I2", "I3", "I4"] {
        assert!(expected.contains(invariant), "no mistake that breaks {invariant}");
    }
}
