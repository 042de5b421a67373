use std::path::Path;

/// Labels stand in the registry and nowhere else: no other source of the two crates spells one out (R13). Tests may.
#[test]
fn r13_no_label_is_spelt_outside_the_registry() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = vec![];
    let mut files = 0;
    let mut todo = vec![crates.join("src"), crates.join("../src")];
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(
                std::fs::read_dir(path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path())
                    .filter(|path| is_source(path)),
            );
            continue;
        }
        files += 1;
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        if code.contains("subrosa/1") {
            found.push(path.strip_prefix(crates).unwrap().to_owned());
        }
    }
    assert!(files > 20, "the sources were found");
    assert_eq!(found, [Path::new("src/labels.rs")]);
}

fn is_source(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_str().unwrap();
    path.is_dir() && name != "tests" || name.ends_with(".rs") && !matches!(name, "tests.rs" | "testing.rs")
}
