//! docs/SECURITY.md promises nothing without naming the tests that hold it, and names no test that is not there.
//!
//! A promise is a row of a table whose last column is headed `test` (or `tests`). A test is named as `path::function`, with
//! its path from the root of the repository, anywhere in the document.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{collections::BTreeSet, fs, path::Path};

fn read(path: &str) -> Option<String> {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).ok()
}

/// Every `path.rs::function` between backticks.
fn named(text: &str) -> Vec<(&str, &str)> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter_map(|name| name.split_once("::")).filter(|(path, _)| path.ends_with(".rs")).collect()
}

/// The rows of the tables of promises.
fn promises(document: &str) -> Vec<&str> {
    let (mut rows, mut in_table) = (Vec::new(), false);
    for line in document.lines() {
        let cells: Vec<&str> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        let is_row = line.starts_with('|');
        let is_rule = is_row && cells.iter().all(|cell| cell.chars().all(|c| matches!(c, '-' | ':')));
        if !is_row {
            in_table = false;
        } else if !in_table {
            in_table = matches!(cells.last(), Some(&("test" | "tests")));
        } else if !is_rule {
            rows.push(line);
        }
    }
    rows
}

/// Whether the file has a function of this name with a test attribute, or as one of the tests of every store.
fn is_test(source: &str, path: &str, function: &str) -> bool {
    let lines: Vec<&str> = source.lines().collect();
    let start = format!("fn {function}(");
    lines.iter().enumerate().any(|(at, line)| {
        let here = line.trim_start();
        let declared = here.starts_with(&start)
            || here.starts_with(&format!("async {start}"))
            || here.starts_with(&format!("pub(in crate::store) async {start}"));
        let attributes = lines[at.saturating_sub(6)..at].iter().rev().take_while(|line| {
            let line = line.trim_start();
            line.starts_with("#[") || line.starts_with("//")
        });
        let mut attributes = attributes.map(|line| line.trim_start());
        declared
            && (path.contains("/conformance/")
                || attributes.any(|line| line.starts_with("#[") && line.contains("test")))
    })
}

fn faults(document: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for row in promises(document) {
        if named(row).is_empty() {
            faults.push(format!("no test is named: {row}"));
        }
    }
    for (path, function) in named(document).into_iter().collect::<BTreeSet<_>>() {
        match read(path) {
            None => faults.push(format!("there is no {path}")),
            Some(source) if !is_test(&source, path, function) => {
                faults.push(format!("there is no test {path}::{function}"));
            }
            Some(_) => {}
        }
    }
    faults
}

#[test]
fn every_promise_names_a_test_that_is_there() {
    let document = read("docs/SECURITY.md").unwrap();
    let faults = faults(&document);
    assert!(faults.is_empty(), "docs/SECURITY.md:\n{}", faults.join("\n"));
    let (promises, tests) = (promises(&document).len(), named(&document).len());
    assert!(promises >= 40, "only {promises} promises: the tables are not found");
    println!("docs/SECURITY.md: {promises} promises, {tests} tests named, all there");
}

#[test]
fn a_promise_without_its_test_is_noticed() {
    let table = |cell: &str| format!("| promise | test |\n|---|---|\n| it holds | {cell} |\n");
    let here = "`tests/tests/security_doc.rs::a_promise_without_its_test_is_noticed`";
    assert_eq!(faults(&table(here)), Vec::<String>::new());
    for (cell, fault) in [
        ("", "no test is named"),
        ("somebody looked at it", "no test is named"),
        ("`tests/tests/security_doc.rs`", "no test is named"),
        ("`tests/tests/security_doc.rs::no_such_test`", "there is no test"),
        ("`tests/tests/security_doc.rs::faults`", "there is no test"),
        ("`tests/tests/no_such_file.rs::faults`", "there is no tests/tests/no_such_file.rs"),
    ] {
        let found = faults(&table(cell));
        assert!(found.len() == 1 && found[0].contains(fault), "{cell}: {found:?}");
    }
    assert!(promises("| who | what |\n|---|---|\n| a | b |\n").is_empty(), "other tables promise nothing");
}

/// R60: the README says in plain words what the relay learns, what is not post-quantum, and where the rest stands.
#[test]
fn r60_the_readme_says_what_is_not_protected() {
    let readme = read("README.md").unwrap();
    let section = readme.split("## What it does not hide").nth(1).expect("the short threat table");
    let section = section.split("\n## ").next().unwrap();
    for words in ["relay learns", "post-quantum", "safety number", "docs/SECURITY.md"] {
        assert!(section.contains(words), "the threat table does not say: {words}");
    }
}
