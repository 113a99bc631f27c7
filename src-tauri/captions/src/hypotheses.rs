//! Which words of what the model writes again and again can be relied on.

use crate::words::words;

/// Turns the hypotheses about one segment into text that never flickers.
///
/// A word is *committed* once two hypotheses in a row agree on it and on all before it, and something
/// follows it in both (LocalAgreement-2, Liu et al. 2020): the last word of a sound that goes on is
/// often half a word. The rest is *tentative*. Committed text only ever grows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hypotheses {
    committed: String,
    /// What the last hypothesis says behind the committed text.
    tentative: String,
}

impl Hypotheses {
    pub fn committed(&self) -> &str {
        &self.committed
    }

    pub fn tentative(&self) -> &str {
        &self.tentative
    }

    /// Folds in a hypothesis: what the model writes behind the committed text.
    pub fn push(&mut self, continuation: &str) {
        let continuation = self.joined(continuation);
        let old = words(&self.tentative);
        let new = words(&continuation);
        // The last word of either may yet become another.
        let most = old.len().min(new.len()).saturating_sub(1);
        let agreed = old.iter().zip(&new).take(most);
        let n = agreed.take_while(|(a, b)| a.trim() == b.trim()).count();
        self.committed.push_str(&new[..n].concat());
        self.tentative = new[n..].concat();
    }

    /// The segment has ended, and this is what is said behind the committed text.
    pub fn finish(&mut self, continuation: &str) {
        let continuation = self.joined(continuation);
        self.committed.push_str(continuation.trim_end());
        self.tentative.clear();
    }

    /// The continuation with the space that belongs between it and the committed text.
    ///
    /// A model that was given the committed text writes the space itself, but not in every script.
    fn joined(&self, continuation: &str) -> String {
        let text = continuation.replace(['\n', '\r'], " ");
        let text = text.trim_end();
        if self.committed.is_empty() {
            text.trim_start().to_owned()
        } else {
            text.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::bool::weighted;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    /// Each step: what the model writes, and the committed and the tentative text after it.
    fn check(steps: &[(&str, &str, &str)]) {
        let mut hypotheses = Hypotheses::default();
        for (continuation, committed, tentative) in steps {
            hypotheses.push(continuation);
            assert_eq!(
                (hypotheses.committed(), hypotheses.tentative()),
                (*committed, *tentative),
                "after {continuation:?}"
            );
        }
    }

    #[test]
    fn commits_what_two_hypotheses_share_but_for_the_last_word() {
        check(&[
            ("Good mor", "", "Good mor"),
            ("Good morning old", "Good", " morning old"),
            (" morning all of", "Good morning", " all of"),
            (" all of you.", "Good morning all", " of you."),
            (" off", "Good morning all", " off"),
        ]);
    }

    #[test]
    fn a_repeated_hypothesis_keeps_its_last_word_back() {
        check(&[
            ("Sales went up.", "", "Sales went up."),
            ("Sales went up.", "Sales went", " up."),
            (" up.", "Sales went", " up."),
            (" up by four percent.", "Sales went", " up by four percent."),
            (" up by four percent.", "Sales went up by four", " percent."),
        ]);
    }

    #[test]
    fn scripts_without_spaces_settle_by_character() {
        check(&[("会議は", "", "会議は"), ("会議は十時", "会議", "は十時")]);
    }

    #[test]
    fn the_end_commits_everything() {
        let mut hypotheses = Hypotheses::default();
        hypotheses.push(" Good morning");
        hypotheses.push("Good morning every");
        hypotheses.finish(" morning,\neverybody. ");
        assert_eq!(hypotheses.committed(), "Good morning, everybody.");
        assert_eq!(hypotheses.tentative(), "");
        let mut nothing = Hypotheses::default();
        nothing.finish(" \n");
        assert_eq!(nothing.committed(), "");
    }

    /// What a model makes of it next: how many of its last words it repeats, what it adds, and whether that is the end.
    fn steps() -> impl Strategy<Value = Vec<(usize, String, bool)>> {
        const WORDS: [&str; 10] = [" a", " b", " a.", "c", "会", " 会", "\n", "  d", "é", ""];
        let added = vec(select(&WORDS[..]), 0..4).prop_map(|words| words.concat());
        vec((0..6usize, added, weighted(0.1)), 1..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_committed_word_never_changes(steps in steps()) {
            let mut hypotheses = Hypotheses::default();
            for (kept, added, is_last) in steps {
                let said = words(hypotheses.tentative());
                let continuation = said[..kept.min(said.len())].concat() + &added;
                let previous = hypotheses.clone();
                if is_last {
                    hypotheses.finish(&continuation);
                    prop_assert_eq!(hypotheses.tentative(), "");
                } else {
                    hypotheses.push(&continuation);
                }
                let committed = hypotheses.committed();
                prop_assert!(committed.starts_with(previous.committed()));
                let newly = &committed[previous.committed().len()..];
                if !is_last && !newly.is_empty() {
                    // It was tentative before, and something still follows it.
                    let plain = |text: &str| text.split_whitespace().collect::<String>();
                    prop_assert!(plain(previous.tentative()).starts_with(&plain(newly)));
                    prop_assert!(!hypotheses.tentative().is_empty());
                }
            }
        }

        /// Of anything at all that a model may write.
        #[test]
        fn text_only_grows(texts in vec(any::<String>(), 1..8)) {
            let mut hypotheses = Hypotheses::default();
            for text in texts {
                let before = hypotheses.committed().to_owned();
                // Some of them say the same again.
                for continuation in [text.clone(), text] {
                    hypotheses.push(&continuation);
                    prop_assert!(hypotheses.committed().starts_with(&before));
                }
            }
        }
    }
}
