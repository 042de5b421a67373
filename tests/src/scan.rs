//! Searching files for what must not be in them.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Every file below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_dir() {
            found.extend(files(&path));
        } else if kind.is_file() {
            found.push(path);
        }
    }
    found
}

/// The forms in which bytes could stand in a file: as they are, hexadecimal, base 64, UTF-16.
pub fn forms(needle: &[u8]) -> Vec<Vec<u8>> {
    let utf16 = needle.iter().flat_map(|b| [*b, 0]).collect();
    // Base 64 at each of the three alignments, without the characters that depend on the neighbours.
    let base64 = (0..3).filter_map(|shift| {
        let mut padded = vec![0; shift];
        padded.extend_from_slice(needle);
        let text = data_encoding::BASE64_NOPAD.encode(&padded);
        let inner = text.get(4..text.len().saturating_sub(4))?.as_bytes().to_vec();
        (inner.len() >= 8).then_some(inner)
    });
    let mut all = vec![
        needle.to_vec(),
        data_encoding::HEXLOWER.encode(needle).into_bytes(),
        data_encoding::HEXUPPER.encode(needle).into_bytes(),
        utf16,
    ];
    all.extend(base64);
    all
}

/// Whether bytes contain a needle.
pub fn contains(hay: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty() && hay.windows(needle.len()).any(|window| window == needle)
}

/// The files below a folder that contain a needle in any form.
pub fn hits(folder: &Path, needle: &[u8]) -> Vec<PathBuf> {
    let forms = forms(needle);
    files(folder)
        .into_iter()
        .filter(|path| {
            let hay = fs::read(path).unwrap_or_default();
            forms.iter().any(|form| contains(&hay, form))
        })
        .collect()
}
