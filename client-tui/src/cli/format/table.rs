//! Aligned columns, by the width of cells and not of bytes.

use unicode_width::UnicodeWidthStr;

const GAP: usize = 2;

/// Rows below each other; the last column is as long as it is. Line ends inside a cell become spaces.
#[must_use]
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut widths = vec![0; columns];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    let lines: Vec<String> = rows.iter().map(|row| line(row, &widths)).collect();
    lines.join("\n")
}

fn line(row: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, width) in row.iter().zip(widths) {
        line.push_str(&one_line(cell));
        line.push_str(&" ".repeat(width.saturating_sub(cell.width()) + GAP));
    }
    line.truncate(line.trim_end().len());
    line
}

/// The text on one line.
#[must_use]
pub fn one_line(text: &str) -> String {
    text.split(['\n', '\t']).collect::<Vec<_>>().join(" ")
}

/// The text's beginning, marked where it was cut.
#[must_use]
pub fn short(text: &str, characters: usize) -> String {
    let text = one_line(text);
    match text.char_indices().nth(characters) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

/// Lines `name  value`.
#[must_use]
pub fn pairs(pairs: &[(&str, String)]) -> String {
    let rows: Vec<Vec<String>> =
        pairs.iter().map(|(name, value)| vec![(*name).to_owned(), value.clone()]).collect();
    table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_by_cells() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let text = table(&[row(["bob", "verified", "hi"]), row(["字字字", "", "two\nlines"])]);
        assert_eq!(text, "bob     verified  hi\n字字字            two lines");
        assert_eq!(short("a\nbcd", 3), "a b…");
        assert_eq!(table(&[]), "");
    }
}
