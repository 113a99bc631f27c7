//! The tokenizer as GGUF keeps it: pieces, scores and types in the manner of SentencePiece.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::Value as Json;

use super::config::Config;
use crate::Error;
use crate::checkpoint::Checkpoint;
use crate::gguf::{Strings, Writer};

/// Piece types, numbered as in SentencePiece.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

/// What the common converter gives pieces that are found before any merging, so that the score decides nothing.
const SCORE_OF_ADDED: f32 = -1000.0;
const SCORE_OF_UNUSED: f32 = -10000.0;

pub(super) fn describe(
    checkpoint: &Checkpoint,
    config: &Config<'_>,
    vocab_size: u32,
    writer: &mut Writer,
) -> Result<(), Error> {
    let Some(tokenizer) = Tokenizer::read(checkpoint)? else {
        writer.value("tokenizer.ggml.model", "none"); // Some text-only folders come without.
        return Ok(());
    };
    let pieces = tokenizer
        .pieces(vocab_size as usize)
        .map_err(|reason| Error::header(&checkpoint.path().join(TOKENIZER), reason))?;
    writer.value("tokenizer.ggml.model", "llama");
    writer.value("tokenizer.ggml.pre", "default");
    writer.value(
        "tokenizer.ggml.tokens",
        pieces.iter().map(|piece| &piece.text).collect::<Strings>(),
    );
    writer.value(
        "tokenizer.ggml.scores",
        pieces.iter().map(|piece| piece.score).collect::<Vec<f32>>(),
    );
    writer.value(
        "tokenizer.ggml.token_type",
        pieces
            .iter()
            .map(|piece| piece.kind as i32)
            .collect::<Vec<i32>>(),
    );
    if !tokenizer.follows_from_scores() {
        let merges = tokenizer
            .model
            .merges
            .iter()
            .map(|merge| format!("{} {}", merge.left(), merge.right()));
        writer.value("tokenizer.ggml.merges", merges.collect::<Strings>());
    }

    let id_of = |text: &str| {
        pieces
            .iter()
            .position(|piece| piece.text == text)
            .map(|id| id as u32)
    };
    let text = config.text();
    let stops = match config.root().opt_u32_or_list("eos_token_id")? {
        Some(stops) => stops,
        None => text.opt_u32_or_list("eos_token_id")?.unwrap_or_default(),
    };
    let unknown = tokenizer.model.unk_token.as_deref().and_then(id_of);
    let ids = [
        (
            "bos_token_id",
            text.opt_u32("bos_token_id")?.or_else(|| id_of("<bos>")),
        ),
        (
            "eos_token_id",
            stops.first().copied().or_else(|| id_of("<eos>")),
        ),
        // The end of a turn stops an answer like the end of text; pre-trained models list only the latter.
        ("eot_token_id", stops.get(1).copied()),
        ("unknown_token_id", unknown),
        (
            "padding_token_id",
            text.opt_u32("pad_token_id")?.or_else(|| id_of("<pad>")),
        ),
    ];
    for (key, id) in ids {
        if let Some(id) = id {
            writer.value(&format!("tokenizer.ggml.{key}"), id);
        }
    }
    writer.value("tokenizer.ggml.add_bos_token", true);
    writer.value("tokenizer.ggml.add_eos_token", false);
    writer.value("tokenizer.ggml.add_space_prefix", false);
    if let Some(template) = chat_template(checkpoint)? {
        writer.value("tokenizer.chat_template", template);
    }
    Ok(())
}

fn chat_template(checkpoint: &Checkpoint) -> Result<Option<String>, Error> {
    if let Some(template) = checkpoint.text_file("chat_template.jinja")? {
        return Ok(Some(template));
    }
    // Where it was kept before it had a file.
    let config = checkpoint.json_file("tokenizer_config.json")?;
    Ok(config
        .as_ref()
        .and_then(|json| json.get("chat_template"))
        .and_then(Json::as_str)
        .map(str::to_owned))
}

const TOKENIZER: &str = "tokenizer.json";

/// The parts of `tokenizer.json` that GGUF has a place for.
#[derive(Deserialize)]
struct Tokenizer {
    model: Model,
    #[serde(default)]
    added_tokens: Vec<Added>,
}

#[derive(Deserialize)]
struct Model {
    vocab: HashMap<String, u32>,
    merges: Vec<Merge>,
    unk_token: Option<String>,
}

#[derive(Deserialize)]
struct Added {
    id: u32,
    content: String,
    special: bool,
}

/// Two pieces that become one: a pair, or in older files one string with a space between.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Pair(String, String),
    Joined(String),
}

#[derive(Clone)]
struct Piece<'a> {
    text: Cow<'a, str>,
    score: f32,
    kind: Kind,
}

impl Merge {
    fn left(&self) -> &str {
        match self {
            Merge::Pair(left, _) => left,
            Merge::Joined(both) => both.split_once(' ').map_or(both, |(left, _)| left),
        }
    }

    fn right(&self) -> &str {
        match self {
            Merge::Pair(_, right) => right,
            Merge::Joined(both) => both.split_once(' ').map_or("", |(_, right)| right),
        }
    }

    fn whole(&self) -> String {
        [self.left(), self.right()].concat()
    }
}

impl Tokenizer {
    fn read(checkpoint: &Checkpoint) -> Result<Option<Self>, Error> {
        let Some(text) = checkpoint.text_file(TOKENIZER)? else {
            return Ok(None);
        };
        let path = checkpoint.path().join(TOKENIZER);
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|e| Error::header(&path, format!("it is not a BPE tokenizer in JSON ({e})")))
    }

    /// All pieces by id. Ids that nothing names are filled in, because each row of the embedding needs a piece.
    fn pieces<'a>(&'a self, vocab_size: usize) -> Result<Vec<Piece<'a>>, String> {
        let ranks = self.ranks();
        let mut by_id: Vec<Option<Piece<'a>>> = vec![None; vocab_size];
        for (text, &id) in &self.model.vocab {
            let kind = match text {
                text if Some(text) == self.model.unk_token.as_ref() => Kind::Unknown,
                text if is_byte(text) => Kind::Byte,
                _ => Kind::Normal,
            };
            let slot = slot(&mut by_id, text, id)?;
            if let Some(other) = slot {
                return Err(format!(
                    "pieces {:?} and {text:?} share the id {id}",
                    other.text
                ));
            }
            *slot = Some(Piece {
                text: text.into(),
                score: 0.0,
                kind,
            });
        }
        for added in &self.added_tokens {
            let kind = match added {
                _ if Some(&added.content) == self.model.unk_token.as_ref() => Kind::Unknown,
                Added { special: true, .. } => Kind::Control,
                _ => Kind::UserDefined,
            };
            let text = added.content.as_str().into();
            *slot(&mut by_id, &added.content, added.id)? = Some(Piece {
                text,
                score: SCORE_OF_ADDED,
                kind,
            });
        }

        let mut lowest = ranks.len();
        let complete = |(id, piece): (usize, Option<Piece<'a>>)| {
            let Some(mut piece) = piece else {
                return Piece {
                    text: format!("[PAD{id}]").into(),
                    score: SCORE_OF_UNUSED,
                    kind: Kind::Unused,
                };
            };
            if let Some(&rank) = ranks.get(piece.text.as_ref()) {
                piece.score = -(rank as f32);
            } else if piece.kind == Kind::Normal {
                // Made by no merge: below all that are, in order.
                piece.score = -(lowest as f32);
                lowest += 1;
            }
            piece
        };
        Ok(by_id.into_iter().enumerate().map(complete).collect())
    }

    /// The pieces that merges make, numbered in the order in which they first appear.
    fn ranks(&self) -> HashMap<String, usize> {
        let mut ranks = HashMap::new();
        for merge in &self.model.merges {
            let next = ranks.len();
            ranks.entry(merge.whole()).or_insert(next);
        }
        ranks
    }

    /// Whether a reader that joins any two pieces that make a piece, best score first, does what the merges say.
    ///
    /// So it is for tokenizers that were SentencePiece models once; others need their merges written down.
    fn follows_from_scores(&self) -> bool {
        let ranks = self.ranks();
        let order = self
            .model
            .merges
            .iter()
            .map(|merge| ranks.get(&merge.whole()));
        if !order.is_sorted() {
            return false;
        }
        let has = |part: &str| self.model.vocab.contains_key(part);
        let listed: HashSet<_> = self
            .model
            .merges
            .iter()
            .map(|merge| (merge.left(), merge.right()))
            .collect();
        let splits = ranks.keys().map(|whole| {
            let inside = whole.char_indices().skip(1);
            inside
                .filter(|&(at, _)| has(&whole[..at]) && has(&whole[at..]))
                .count()
        });
        // Every merge is such a split, so equal numbers mean equal sets.
        listed.iter().all(|(left, right)| has(left) && has(right))
            && splits.sum::<usize>() == listed.len()
    }
}

fn slot<'a, 'p>(
    by_id: &'a mut [Option<Piece<'p>>],
    text: &str,
    id: u32,
) -> Result<&'a mut Option<Piece<'p>>, String> {
    let vocab_size = by_id.len();
    let slot = by_id.get_mut(id as usize);
    slot.ok_or_else(|| {
        format!("piece {text:?} has the id {id}, but the vocabulary has {vocab_size} pieces")
    })
}

/// `<0x00>` to `<0xFF>`.
fn is_byte(text: &str) -> bool {
    let digits = text
        .strip_prefix("<0x")
        .and_then(|rest| rest.strip_suffix('>'));
    digits.is_some_and(|digits| digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokenizer(merges: &str) -> Tokenizer {
        let json = format!(
            r#"{{"model": {{"vocab": {{"<unk>": 0, "<0x0A>": 1, "a": 2, "b": 3, "ab": 4, "aba": 5, "ba": 6}},
                 "merges": {merges}, "unk_token": "<unk>"}},
                 "added_tokens": [{{"id": 0, "content": "<unk>", "special": true}},
                                  {{"id": 8, "content": "<turn>", "special": true}},
                                  {{"id": 9, "content": "\n", "special": false}}]}}"#
        );
        serde_json::from_str(&json).expect("valid")
    }

    #[test]
    fn scores_follow_the_merges_and_base_pieces_come_last() {
        let tokenizer = tokenizer(r#"[["a", "b"], ["b", "a"], ["ab", "a"], ["a", "ba"]]"#);
        let pieces = tokenizer.pieces(10).expect("all ids fit");
        let found: Vec<_> = pieces
            .iter()
            .map(|p| (p.text.as_ref(), p.score, p.kind as i32))
            .collect();
        let expected = [
            ("<unk>", -1000.0, 2),
            ("<0x0A>", 0.0, 6),
            ("a", -3.0, 1),
            ("b", -4.0, 1),
            ("ab", 0.0, 1),
            ("aba", -2.0, 1),
            ("ba", -1.0, 1),
            ("[PAD7]", -10000.0, 5),
            ("<turn>", -1000.0, 3),
            ("\n", -1000.0, 4),
        ];
        assert_eq!(found, expected);
        assert!(tokenizer.follows_from_scores());
    }

    #[test]
    fn knows_when_scores_say_less_than_merges() {
        for (merges, expected) in [
            (r#"["a b", "b a", "ab a", "a ba"]"#, true),
            (r#"[["a", "b"], ["b", "a"], ["ab", "a"]]"#, false), // The other way to "aba" is not allowed.
            (
                r#"[["a", "b"], ["ab", "a"], ["b", "a"], ["a", "ba"]]"#,
                false,
            ), // "ba" comes between the two ways.
        ] {
            assert_eq!(
                tokenizer(merges).follows_from_scores(),
                expected,
                "{merges}"
            );
        }
    }

    #[test]
    fn refuses_ids_beyond_the_vocabulary() {
        assert!(tokenizer("[]").pieces(9).is_err());
    }
}
