//! Writes the seeds of every target into a folder: `cargo run -p subrosa-fuzz-bodies --example seeds [FOLDER]`
//! (`fuzz/corpus` without one). Fuzzing and `cargo fuzz cmin` make the committed corpus of them.

#![allow(clippy::unwrap_used)]

use std::{fs, path::PathBuf};

use subrosa_fuzz_bodies::corpus::{folder, seeds, targets};

fn main() {
    let root = std::env::args().nth(1).map(PathBuf::from);
    for target in targets() {
        let folder = root.as_ref().map_or_else(|| folder(target.name), |root| root.join(target.name));
        fs::create_dir_all(&folder).unwrap();
        let seeds = seeds(target.name);
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:03}")), seed).unwrap();
        }
        println!("{}: {} seeds in {}", target.name, seeds.len(), folder.display());
    }
}
