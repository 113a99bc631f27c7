//! What counts as a word, and where sentences end.

/// Splits a text into words, each with the white space before it, so that all together are the text.
///
/// Scripts that are written without spaces have a word for each character.
pub fn words(text: &str) -> Vec<&str> {
    let mut starts = Vec::new();
    // Whether the characters so far end a word, if something that is not a space comes.
    let mut ended = true;
    let mut space = None;
    for (at, c) in text.char_indices() {
        if c.is_whitespace() {
            space.get_or_insert(at);
            continue;
        }
        if ended || space.is_some() || (stands_alone(c) && at > 0) {
            starts.push(space.take().unwrap_or(at));
        }
        ended = stands_alone(c);
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(&start, end)| &text[start..end])
        .collect()
}

/// Characters of scripts without spaces between words: Chinese, Japanese, Thai, Lao, Khmer, Burmese.
fn stands_alone(c: char) -> bool {
    matches!(c,
        '\u{0E01}'..='\u{0EFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}'
        | '\u{3041}'..='\u{30FF}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}'
        | '\u{20000}'..='\u{3FFFF}')
}

/// Bytes of a text up to the end of its last whole sentence.
///
/// A full stop counts only with something behind it: the next word may turn `3.` into `3.5`.
pub fn sentences_end(text: &str) -> usize {
    let mut end = 0;
    let mut characters = text.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        let after = at + c.len_utf8();
        let next = characters.peek().map(|(_, c)| *c);
        let ends = match c {
            '。' | '！' | '？' | '।' => true,
            '.' | '!' | '?' | '…' => next.is_some_and(char::is_whitespace),
            _ => false,
        };
        if ends {
            end = after;
        }
    }
    end
}

/// The sentences of a text that is complete.
pub fn sentences(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut at = 0;
    while at < text.len() {
        // The shortest beginning with a sentence's end in it.
        let length = text[at..].chars().next().map_or(1, char::len_utf8);
        at += length;
        let next = text[at..].chars().next().map_or(0, char::len_utf8);
        if sentences_end(&text[start..at + next]) == at - start {
            found.push(text[start..at].trim());
            start = at;
        }
    }
    found.push(text[start..].trim());
    found.retain(|sentence| !sentence.is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_the_space_before_them() {
        for (text, expected) in [
            ("", &[][..]),
            ("  ", &[]),
            ("Good", &["Good"]),
            (" Good  morning.", &[" Good", "  morning."]),
            ("Good morning ", &["Good", " morning "]),
            ("会議は10時", &["会", "議", "は", "10", "時"]),
            ("OK 会議", &["OK", " 会", "議"]),
            ("สวัสดี", &["ส", "ว", "ั", "ส", "ด", "ี"]),
        ] {
            assert_eq!(words(text), expected);
            if !text.trim().is_empty() {
                assert_eq!(words(text).concat(), text);
            }
        }
    }

    #[test]
    fn a_sentence_ends_where_the_next_begins() {
        for (text, expected) in [
            ("", ""),
            ("It costs 3.", ""),
            ("It costs 3.5 euros", ""),
            ("Hello. It is", "Hello."),
            ("Who? Me! And", "Who? Me!"),
            ("会議です。次", "会議です。"),
        ] {
            assert_eq!(&text[..sentences_end(text)], expected, "{text}");
        }
        assert_eq!(
            sentences("Who? It costs 3.5 euros. Yes"),
            ["Who?", "It costs 3.5 euros.", "Yes"]
        );
        assert_eq!(sentences("はい。会議です。"), ["はい。", "会議です。"]);
        assert!(sentences(" ").is_empty());
    }
}
