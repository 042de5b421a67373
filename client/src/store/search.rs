//! Full-text search (FTS5).

use super::{
    Tx,
    error::Result,
    limits::{SEARCH_HITS, SEARCH_WORDS},
    messages::{COLUMNS, read},
    rows::page,
};
use crate::api::SearchHit;

impl Tx<'_> {
    /// Texts in which all words occur, newest first, at most `limit`, up to [`SEARCH_HITS`]. Case and accents do not
    /// matter; the last word may be the beginning of one, so that searching while typing works. Quotes and operators of
    /// the index have no meaning. Of more than [`SEARCH_WORDS`] words the rest is ignored.
    pub fn search(&self, query: &str, limit: u32) -> Result<Vec<SearchHit>> {
        let Some(expression) = expression(query) else { return Ok(Vec::new()) };
        let sql = format!(
            "SELECT {COLUMNS} FROM messages WHERE place IN (SELECT rowid FROM messages_text WHERE text MATCH ?1 \
             ORDER BY rowid DESC LIMIT ?2) ORDER BY place DESC"
        );
        self.all(&sql, (expression, page(limit, SEARCH_HITS)), |row| Ok(SearchHit { message: read(row)? }))
    }
}

/// The words, each as a quoted string of FTS5; `None` when there is nothing in them that the index knows.
fn expression(query: &str) -> Option<String> {
    let words: Vec<String> = query
        .split_whitespace()
        .filter(|word| word.chars().any(char::is_alphanumeric))
        .take(SEARCH_WORDS)
        .map(|word| format!("\"{}\"", word.replace('"', "\"\"").replace('\0', "")))
        .collect();
    if words.is_empty() { None } else { Some(format!("{}*", words.join(" "))) }
}

#[cfg(test)]
mod tests {
    use super::expression;

    #[test]
    fn words_lose_the_meaning_they_have_to_the_index() {
        assert_eq!(expression("one two").as_deref(), Some("\"one\" \"two\"*"));
        assert_eq!(expression("a\"b OR NOT").as_deref(), Some("\"a\"\"b\" \"OR\" \"NOT\"*"));
        assert_eq!(expression(" -- * \" ^"), None);
    }
}
