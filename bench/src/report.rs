//! Tables, ratios and goals. Every row has its yardstick of the same run beside it.

use std::fmt::Write as _;

/// One figure.
pub struct Row {
    what: String,
    measured: String,
    yardstick: String,
    ratio: String,
    goal: String,
    met: Option<bool>,
}

impl Row {
    /// A figure that stands for itself.
    pub fn new(what: impl Into<String>, measured: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            measured: measured.into(),
            yardstick: String::new(),
            ratio: String::new(),
            goal: String::new(),
            met: None,
        }
    }

    /// What it is compared with, and how many times that it is.
    #[must_use]
    pub fn beside(mut self, yardstick: impl Into<String>, ratio: f64) -> Self {
        self.yardstick = yardstick.into();
        self.ratio = format!("{ratio:.2}");
        self
    }

    /// What it should be; several goals are all to be met.
    #[must_use]
    pub fn goal(mut self, goal: &str, met: bool) -> Self {
        if !self.goal.is_empty() {
            self.goal.push_str(", ");
        }
        self.goal.push_str(goal);
        self.met = Some(met && self.met.unwrap_or(true));
        self
    }
}

/// A titled table.
pub struct Table {
    title: String,
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Table {
    /// Without rows.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Adds a sentence below the table.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// In Markdown, to be pasted.
    pub fn print(&self) {
        let mut out = format!("\n### {}\n\n", self.title);
        out.push_str("| figure | measured | yardstick | ratio | goal | |\n|---|---|---|---|---|---|\n");
        for row in &self.rows {
            let met = match row.met {
                None => "",
                Some(true) => "met",
                Some(false) => "**not met**",
            };
            let Row { what, measured, yardstick, ratio, goal, .. } = row;
            let _ = writeln!(out, "| {what} | {measured} | {yardstick} | {ratio} | {goal} | {met} |");
        }
        for note in &self.notes {
            let _ = write!(out, "\n{note}\n");
        }
        println!("{out}");
    }

    /// Goals that are not met, and goals.
    pub fn score(&self) -> (usize, usize) {
        let goals = self.rows.iter().filter(|row| row.met.is_some()).count();
        (self.rows.iter().filter(|row| row.met == Some(false)).count(), goals)
    }
}
