//! How figures are printed.

/// A table of text columns; the first is the row's name.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(title: &str, columns: &[&str]) -> Self {
        println!("\n{title}\n");
        Self { rows: vec![columns.iter().map(|&column| column.to_owned()).collect()] }
    }

    pub(crate) fn row(&mut self, cells: &[String]) {
        self.rows.push(cells.to_vec());
    }

    /// As Markdown; numbers to the right.
    pub(crate) fn print(self) {
        let columns = self.rows[0].len();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(2)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (at, row) in self.rows.iter().enumerate() {
            let mut line = String::from("|");
            for (column, cell) in row.iter().enumerate() {
                let fill = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
                line += &if column == 0 { format!(" {cell}{fill} |") } else { format!(" {fill}{cell} |") };
            }
            println!("{line}");
            if at == 0 {
                let dashes = |(column, width): (usize, &usize)| {
                    if column == 0 {
                        format!(" {} |", "-".repeat(*width))
                    } else {
                        format!(" {}: |", "-".repeat(width - 1))
                    }
                };
                println!("|{}", widths.iter().enumerate().map(dashes).collect::<String>());
            }
        }
    }
}
