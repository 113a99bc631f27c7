//! How near an answer is to what was expected.

use std::collections::HashMap;

/// Words as they are counted: in small letters, and of each only letters, digits and apostrophes.
pub fn words(text: &str) -> Vec<String> {
    let kept = |c: &char| c.is_alphanumeric() || *c == '\'';
    text.to_lowercase()
        .split_whitespace()
        .map(|word| word.chars().filter(kept).collect::<String>())
        .filter(|word| !word.is_empty())
        .collect()
}

/// The fewest insertions, deletions and replacements that make `from` into `to` (Levenshtein).
pub fn edits<T: PartialEq>(from: &[T], to: &[T]) -> usize {
    // The distances from what has been read of `from` to every beginning of `to`.
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (n, x) in from.iter().enumerate() {
        let mut before = std::mem::replace(&mut row[0], n + 1);
        for (m, y) in to.iter().enumerate() {
            let replaced = before + usize::from(x != y);
            before = row[m + 1];
            row[m + 1] = replaced.min(before + 1).min(row[m] + 1);
        }
    }
    row[to.len()]
}

/// Word error rate of a corpus: all edits by all reference words.
#[derive(Clone, Copy, Debug, Default)]
pub struct WordErrors {
    edits: usize,
    reference: usize,
}

impl WordErrors {
    pub fn add(&mut self, answer: &[String], expected: &[String]) {
        self.edits += edits(answer, expected);
        self.reference += expected.len();
    }

    pub fn rate(&self) -> f64 {
        self.edits as f64 / self.reference.max(1) as f64
    }
}

/// chrF2 of a corpus, as sacreBLEU counts it (`nc:6|nw:0|space:no|eff:yes`).
///
/// Popović, "chrF: character n-gram F-score for automatic MT evaluation", 2015.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chrf {
    orders: [Matches; LONGEST],
}

/// The longest n-gram.
const LONGEST: usize = 6;
/// How much more recall counts than precision, squared.
const BETA_SQUARED: f64 = 4.0;

/// n-grams of one length.
#[derive(Clone, Copy, Debug, Default)]
struct Matches {
    answer: usize,
    expected: usize,
    both: usize,
}

impl Chrf {
    pub fn add(&mut self, answer: &str, expected: &str) {
        let visible =
            |text: &str| -> Vec<char> { text.split_whitespace().flat_map(str::chars).collect() };
        let (answer, expected) = (visible(answer), visible(expected));
        for (n, matches) in (1..).zip(&mut self.orders) {
            let (ours, theirs) = (counts(&answer, n), counts(&expected, n));
            // An expected text that is too short for n-grams of this length says nothing about them.
            if !theirs.is_empty() {
                matches.answer += ours.values().sum::<usize>();
            }
            matches.expected += theirs.values().sum::<usize>();
            matches.both += ours
                .iter()
                .map(|(ngram, &count)| count.min(theirs.get(ngram).copied().unwrap_or(0)))
                .sum::<usize>();
        }
    }

    /// 0 to 100.
    pub fn score(&self) -> f64 {
        let (mut precision, mut recall, mut n) = (0.0, 0.0, 0.0);
        for matches in &self.orders {
            if matches.answer > 0 && matches.expected > 0 {
                precision += matches.both as f64 / matches.answer as f64;
                recall += matches.both as f64 / matches.expected as f64;
                n += 1.0;
            }
        }
        if precision + recall == 0.0 {
            return 0.0;
        }
        let (precision, recall) = (precision / n, recall / n);
        100.0 * (1.0 + BETA_SQUARED) * precision * recall / (BETA_SQUARED * precision + recall)
    }
}

fn counts(text: &[char], n: usize) -> HashMap<&[char], usize> {
    let mut counts = HashMap::new();
    for ngram in text.windows(n) {
        *counts.entry(ngram).or_insert(0) += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_bare() {
        for (text, expected) in [
            (
                "The meeting is on Monday.",
                vec!["the", "meeting", "is", "on", "monday"],
            ),
            ("  It's 10:30 -- ok?\n", vec!["it's", "1030", "ok"]),
            ("ÄRGER, naïve!", vec!["ärger", "naïve"]),
            (" ... ", vec![]),
        ] {
            assert_eq!(words(text), expected, "{text:?}");
        }
    }

    #[test]
    fn the_fewest_edits_are_found() {
        for (from, to, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("flaw", "lawn", 2),
            ("intention", "execution", 5),
            ("abcdef", "abcdef", 0),
        ] {
            let letters = |text: &str| text.chars().collect::<Vec<_>>();
            assert_eq!(edits(&letters(from), &letters(to)), expected, "{from} {to}");
        }
    }

    #[test]
    fn errors_are_counted_over_the_whole_corpus() {
        let mut errors = WordErrors::default();
        assert_eq!(errors.rate(), 0.0);
        for (answer, expected) in [
            ("the meeting is on monday", "The meeting is on Monday."), // 0 of 5
            ("we need three cups now", "We need two cups."), // a replacement, an insertion: 2 of 4
            ("", "Thank you."),                              // 2 of 2
        ] {
            errors.add(&words(answer), &words(expected));
        }
        assert!((errors.rate() - 4.0 / 11.0).abs() < 1e-12);
    }

    /// Values of sacreBLEU 2.6.0: `CHRF().corpus_score(answers, [expected])`.
    #[test]
    fn chrf_is_sacrebleus() {
        let check = |pairs: &[(&str, &str)], expected: f64| {
            let mut chrf = Chrf::default();
            for (answer, expected) in pairs {
                chrf.add(answer, expected);
            }
            assert!(
                (chrf.score() - expected).abs() < 1e-9,
                "{pairs:?}: {}",
                chrf.score()
            );
        };
        let monday = "Das Treffen ist am Montag.";
        check(&[], 0.0);
        check(&[(monday, monday)], 100.0);
        check(
            &[("Das Treffen ist am Dienstag.", monday)],
            71.08722969977492,
        );
        check(&[("", monday)], 0.0);
        check(&[("Ja.", "Nein.")], 7.246376811594203);
        check(&[("Ja", "Ja.")], 63.636363636363626);
        check(
            &[
                (
                    "Nous avons besoin de trois tasses.",
                    "Nous avons besoin de trois ordinateurs.",
                ),
                ("Bonjour.", "Bonjour à tous."),
                ("Où est Anna ?", "Où est Anna ?"),
            ],
            68.06135283135995,
        );
        check(
            &[("aaaa aaaa", "aa aa"), ("b", "bbbbbbbb")],
            29.84427794916997,
        );
        check(
            &[
                ("La reunión es\tel  lunes.", "La reunión es el martes."),
                ("¿Cuánto cuesta?", "¿Cuánto cuesta esto?"),
                ("", "No."),
            ],
            66.84760727329973,
        );
    }
}
