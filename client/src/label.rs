//! Labels of rooms: what a profile calls a room, `#ops` (docs/decisions/0048). Made from a name that others chose, so they hold
//! letters and digits only, of any script; nothing invisible, nothing that steers, no letters of two alphabets in one word.

use subrosa_protocol::{SafeText, Slug, limits::SLUG_MAX};

/// Where nothing of a name is left.
const NAMELESS: &str = "room";

/// A label out of a room's name. Words of Latin letters become as a slug has them; words of other scripts stay, in small
/// letters. A word that mixes them, or is made of letters that only look like others, is left out whole: what remained of it
/// could look like another label. At most 32 characters.
#[must_use]
pub(crate) fn from_name(name: &str) -> String {
    let name = SafeText::name(name);
    let mut label = String::new();
    for word in name.split_whitespace().filter_map(of_word) {
        let joined = if label.is_empty() { word } else { format!("{label}-{word}") };
        if joined.chars().count() > SLUG_MAX {
            // A first word that is too long is cut; a further one is left out.
            if label.is_empty() {
                label = joined.chars().take(SLUG_MAX).collect();
            }
            break;
        }
        label = joined;
    }
    let label = label.trim_end_matches('-');
    if label.is_empty() { NAMELESS.to_owned() } else { label.to_owned() }
}

/// What two labels have in common that a reader may take for each other: letters of other alphabets as the Latin ones that
/// they look like.
#[must_use]
pub(crate) fn skeleton(label: &str) -> String {
    label.chars().map(lookalike).collect()
}

/// A word as it stands in a label; `None` when it cannot.
fn of_word(word: &str) -> Option<String> {
    if word.chars().any(is_disguised) {
        return None;
    }
    let other = word.chars().any(|c| c.is_alphabetic() && !is_latin(c));
    if other && word.chars().any(is_latin) {
        return None;
    }
    if !word.is_ascii() && !other {
        // Marks of Latin letters are left out as slugs do it, where they know the letter.
        let slug = Slug::from_name(word);
        if slug.as_str() != NAMELESS {
            return Some(slug.as_str().to_owned());
        }
    }
    let mut text = String::new();
    for c in word.chars().flat_map(char::to_lowercase) {
        if c.is_alphanumeric() || is_mark(c) && !text.is_empty() && !text.ends_with('-') {
            text.push(c);
        } else if !is_mark(c) && !text.is_empty() && !text.ends_with('-') {
            text.push('-');
        }
    }
    Some(text.trim_end_matches('-').to_owned()).filter(|text| !text.is_empty())
}

const fn is_latin(c: char) -> bool {
    c.is_ascii_alphabetic()
        || matches!(c, '\u{aa}' | '\u{ba}' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}')
}

/// Letters and digits in disguise: phonetic, raised, full width, enclosed, mathematical and Roman forms, which look like plain
/// ones, and fillers, which look like nothing.
const fn is_disguised(c: char) -> bool {
    matches!(c,
        '\u{b2}' | '\u{b3}' | '\u{b9}' | '\u{250}'..='\u{2ff}' | '\u{1d00}'..='\u{1dbf}' | '\u{2070}'..='\u{209f}'
        | '\u{2100}'..='\u{218f}' | '\u{2460}'..='\u{24ff}' | '\u{2c60}'..='\u{2c7f}' | '\u{a720}'..='\u{a7ff}'
        | '\u{ab30}'..='\u{abbf}' | '\u{13a0}'..='\u{13ff}' | '\u{a4d0}'..='\u{a4ff}' | '\u{115f}'..='\u{1160}'
        | '\u{3164}' | '\u{17b4}'..='\u{17b5}' | '\u{fb00}'..='\u{fb06}' | '\u{ff00}'..='\u{ffef}'
        | '\u{10780}'..='\u{107bf}' | '\u{1d400}'..='\u{1d7ff}' | '\u{1df00}'..='\u{1dfff}'
        | '\u{1f100}'..='\u{1f1ff}')
}

/// Marks that belong to the letter before them and are no letters themselves: without these, words of Indian and other scripts
/// would fall apart. Not those that choose between forms of a sign, which are invisible.
const fn is_mark(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{34e}' | '\u{350}'..='\u{36f}' | '\u{483}'..='\u{487}' | '\u{591}'..='\u{5bd}'
        | '\u{5bf}' | '\u{5c1}'..='\u{5c2}' | '\u{5c4}'..='\u{5c5}' | '\u{5c7}' | '\u{610}'..='\u{61a}'
        | '\u{64b}'..='\u{65f}' | '\u{670}' | '\u{6d6}'..='\u{6dc}' | '\u{6df}'..='\u{6e4}'
        | '\u{6e7}'..='\u{6e8}' | '\u{6ea}'..='\u{6ed}'
        | '\u{93c}' | '\u{94d}' | '\u{951}'..='\u{954}' | '\u{9bc}' | '\u{9cd}' | '\u{a3c}' | '\u{a4d}'
        | '\u{abc}' | '\u{acd}' | '\u{b3c}' | '\u{b4d}' | '\u{bcd}' | '\u{c3c}' | '\u{c4d}' | '\u{cbc}'
        | '\u{ccd}' | '\u{d3b}'..='\u{d3c}' | '\u{d4d}' | '\u{dca}' | '\u{e38}'..='\u{e3a}'
        | '\u{e47}'..='\u{e4e}' | '\u{eba}' | '\u{ec8}'..='\u{ece}' | '\u{f39}' | '\u{f84}'
        | '\u{1037}' | '\u{1039}'..='\u{103a}' | '\u{17c6}'..='\u{17d3}' | '\u{17dd}' | '\u{3099}'..='\u{309a}')
}

/// The Latin letter that a Cyrillic, Greek or Armenian small letter looks like.
const fn lookalike(c: char) -> char {
    match c {
        'а' | 'α' => 'a',
        'ь' | 'в' | 'β' => 'b',
        'с' | 'ϲ' => 'c',
        'ԁ' => 'd',
        'е' | 'ё' | 'є' | 'ε' | 'έ' => 'e',
        'ց' => 'g',
        'һ' | 'н' | 'հ' => 'h',
        'і' | 'ї' | 'ι' | 'ί' | 'ϊ' | 'ӏ' | 'l' => 'i',
        'ј' | 'յ' => 'j',
        'к' | 'κ' => 'k',
        'м' => 'm',
        'п' | 'η' | 'ή' | 'ո' => 'n',
        'о' | 'ο' | 'ό' | 'օ' | 'σ' => 'o',
        'р' | 'ρ' => 'p',
        'ԛ' | 'զ' => 'q',
        'г' => 'r',
        'ѕ' => 's',
        'т' | 'τ' => 't',
        'и' | 'υ' | 'ύ' | 'ϋ' | 'ս' => 'u',
        'ν' => 'v',
        'ѡ' | 'ԝ' | 'ω' | 'ώ' | 'ш' => 'w',
        'х' | 'χ' => 'x',
        'у' | 'ү' | 'γ' => 'y',
        'з' => '3',
        'б' => '6',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_any_script_stay_and_latin_ones_are_as_in_slugs() {
        for (name, label) in [
            ("Ops", "ops"),
            ("X", "x"),
            ("7", "7"),
            ("C++", "c"),
            ("é", "é"),
            ("Küche & Bad", "kueche-bad"),
            ("Łódź", "lodz"),
            ("Кухня", "кухня"),
            ("Кухня и Сад", "кухня-и-сад"),
            ("Ops Кухня", "ops-кухня"),
            ("Ω", "ω"),
            ("台所", "台所"),
            ("がぎぐ か\u{3099}", "がぎぐ-か\u{3099}"),
            ("हिन्दी", "हिन्दी"),
            ("ไทย ที่", "ไทย-ที่"),
            ("שלום", "שלום"),
            ("room", "room"),
            ("", "room"),
            ("★ ! ★", "room"),
        ] {
            assert_eq!(from_name(name), label, "{name}");
        }
        let long = from_name(&"я".repeat(64));
        assert_eq!(long, "я".repeat(SLUG_MAX));
        assert_eq!(from_name("ab abcdefghijklmnopqrstuvwxyz012345"), "ab");
    }

    #[test]
    fn what_is_not_a_plain_word_of_one_script_is_left_out() {
        for name in [
            "оps",
            "pаypal",
            "ｏｐｓ",
            "𝐨𝐩𝐬",
            "ⓞⓟⓢ",
            "ᴏᴘs",
            "ops²",
            "\u{3164}",
            "\u{115f}",
            "\u{202e}",
            "\u{301}",
        ] {
            assert_eq!(from_name(name), "room", "{name:?}");
        }
        for name in [
            "o\u{202e}ps",
            "ops\u{200b}",
            "o\u{feff}p\u{e0041}s",
            "ops\u{1b}[31m\u{7}",
            "\u{2066}ops\u{2069}",
        ] {
            let label = from_name(name);
            assert!(label == "ops" || label == "ops-31m", "{name:?}: {label:?}");
        }
    }

    #[test]
    fn r39_letters_that_look_alike_have_one_skeleton() {
        for (one, other) in [("ope", "оре"), ("cop", "сор"), ("oo", "οο")] {
            assert_eq!(skeleton(one), skeleton(other));
        }
        assert_ne!(skeleton("кухня"), skeleton("kyxha"));
    }

    #[test]
    fn r48_no_name_makes_a_label_that_steers_hides_or_is_long() {
        // Every character of the planes that have letters or tags, between two letters.
        for c in ('\0'..='\u{1ffff}').chain('\u{e0000}'..='\u{e0fff}') {
            let label = from_name(&format!("a{c}b"));
            let plain = label.chars().all(|c| c == '-' || c.is_alphanumeric() || is_mark(c));
            assert!(plain && !label.is_empty() && label.chars().count() <= SLUG_MAX, "{c:?}: {label:?}");
        }
    }
}
