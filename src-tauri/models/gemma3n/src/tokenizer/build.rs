//! Tokenizers from `tokenizer.json` and from the vocabulary in a GGUF file.

use std::collections::{HashMap, HashSet};

use aho_corasick::{AhoCorasick, MatchKind};
use serde_json::json;
use tokenizers::models::ModelWrapper;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::Replace;
use tokenizers::tokenizer::{AddedToken, Tokenizer as Inner};

use super::{BYTE_NAMES, Piece, Tokenizer};
use crate::InputError;

/// The tokenizer metadata of a GGUF file whose `tokenizer.ggml.model` is `llama` (SentencePiece).
#[derive(Debug, Clone, Default)]
pub struct GgufVocab {
    pub tokens: Vec<String>,
    pub scores: Vec<f32>,
    pub types: Vec<i32>,
    /// Pairs `left right`, the first to merge first. Gemma's files have none, because theirs follow from the scores.
    pub merges: Option<Vec<String>>,
    /// Gemma has none; a file without the key means `false`.
    pub add_space_prefix: bool,
    pub bos: Option<u32>,
    pub eos: Option<u32>,
    pub unk: Option<u32>,
    pub pad: Option<u32>,
}

/// Token types in GGUF files, as SentencePiece numbers them; 5 is unused and 6 a byte.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;

/// Control tokens that some files list as if they were ordinary text.
const ALWAYS_SPECIAL: [&str; 8] = [
    "<start_of_turn>",
    "<end_of_turn>",
    "<start_of_image>",
    "<end_of_image>",
    "<image_soft_token>",
    "<start_of_audio>",
    "<end_of_audio>",
    "<audio_soft_token>",
];

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    pub fn from_json(tokenizer_json: &str) -> Result<Self, InputError> {
        let mut inner: Inner = tokenizer_json.parse().map_err(unusable)?;
        check_parts(&inner)?;
        inner.with_truncation(None).map_err(unusable)?;
        inner.with_padding(None);
        let mut special_ids = HashSet::new();
        let mut forgotten = Vec::new();
        for (id, token) in inner.get_added_tokens_decoder() {
            if (token.special || ALWAYS_SPECIAL.contains(&token.content.as_str()))
                && !token.content.is_empty()
            {
                if token.lstrip || token.rstrip || token.single_word {
                    return Err(unusable(format!(
                        "the special token {:?} takes in what surrounds it",
                        token.content
                    )));
                }
                special_ids.insert(id);
                if !token.special {
                    forgotten.push(token.special(true));
                }
            }
        }
        inner.add_special_tokens(forgotten).map_err(unusable)?;
        let bos = inner.token_to_id("<bos>");
        let vocab = inner.get_vocab(true).into_iter().collect();
        Self::assemble(inner, vocab, &special_ids, bos)
    }

    /// Builds the tokenizer that Hugging Face's converter makes of a SentencePiece model.
    pub fn from_gguf(vocab: GgufVocab) -> Result<Self, InputError> {
        let GgufVocab {
            mut tokens,
            scores,
            types,
            merges: given,
            add_space_prefix,
            bos,
            unk,
            ..
        } = vocab;
        let n_tokens = tokens.len();
        if scores.len() != n_tokens || types.len() != n_tokens {
            let (n_scores, n_types) = (scores.len(), types.len());
            return Err(unusable(format!(
                "{n_tokens} tokens have {n_scores} scores and {n_types} types"
            )));
        }
        if add_space_prefix {
            return Err(unusable(
                "it puts a space in front of every text, which Gemma's does not",
            ));
        }
        for (token, kind) in tokens.iter_mut().zip(&types) {
            // llama.cpp's converter writes these the way the user sees them.
            if *kind == USER_DEFINED && token.contains(' ') {
                *token = token.replace(' ', "▁");
            }
        }

        let is_special = |id: usize| {
            types[id] == CONTROL
                || types[id] == USER_DEFINED && ALWAYS_SPECIAL.contains(&tokens[id].as_str())
                || types[id] == UNKNOWN
        };
        let special_ids: HashSet<u32> = (0..n_tokens)
            .filter(|id| is_special(*id))
            .map(|id| id as u32)
            .collect();
        let unk = unk.map_or_else(
            || types.iter().position(|kind| *kind == UNKNOWN),
            |id| Some(id as usize),
        );
        let merges = match given {
            Some(given) => given
                .iter()
                .map(|pair| match pair.split_once(' ') {
                    Some((left, right)) => Ok((left.to_string(), right.to_string())),
                    None => Err(unusable(format!("its merge {pair:?} is not two pieces"))),
                })
                .collect::<Result<_, _>>()?,
            None => merges(&tokens, &scores, &types, &special_ids),
        };
        let added: Vec<AddedToken> = (0..n_tokens)
            .filter(|id| types[*id] == USER_DEFINED || special_ids.contains(&(*id as u32)))
            .map(|id| {
                AddedToken::from(tokens[id].clone(), special_ids.contains(&(id as u32)))
                    .normalized(false)
            })
            .collect();

        let ids: Vocab = tokens.iter().cloned().zip(0..).collect();
        let mut model = BPE::builder()
            .vocab_and_merges(ids, merges)
            .fuse_unk(true)
            .byte_fallback(true);
        let unk = unk.filter(|id| *id < n_tokens);
        if let Some(unk) = unk {
            model = model.unk_token(tokens[unk].clone());
        }
        let mut inner = Inner::new(model.build().map_err(unusable)?);
        inner
            .with_normalizer(Some(Replace::new(" ", "▁").map_err(unusable)?))
            .map_err(unusable)?;
        inner.add_tokens(added).map_err(unusable)?;
        let bos = bos
            .filter(|id| (*id as usize) < n_tokens)
            .or_else(|| inner.token_to_id("<bos>"));
        Self::assemble(
            inner,
            tokens.into_iter().zip(0..).collect(),
            &special_ids,
            bos,
        )
    }

    fn assemble(
        mut inner: Inner,
        vocab: Vec<(String, u32)>,
        specials: &HashSet<u32>,
        bos: Option<u32>,
    ) -> Result<Self, InputError> {
        inner.set_encode_special_tokens(true);
        let bytes: HashMap<&str, u8> = BYTE_NAMES.iter().map(String::as_str).zip(0..=255).collect();
        let unk = match inner.get_model() {
            ModelWrapper::BPE(model) => model
                .unk_token
                .as_ref()
                .and_then(|unk| inner.token_to_id(unk)),
            _ => None,
        };
        let size = vocab
            .iter()
            .map(|(_, id)| *id as usize + 1)
            .max()
            .unwrap_or(0);
        if size > 1 << 24 {
            return Err(unusable(format!("its largest token id is {}", size - 1)));
        }
        let mut pieces = vec![Piece::Unused; size];
        for (token, id) in vocab {
            pieces[id as usize] = match bytes.get(token.as_str()) {
                Some(byte) => Piece::Byte(*byte),
                None if specials.contains(&id) => Piece::Special(token),
                None => Piece::Text(token.replace('▁', " ")),
            };
        }

        let (mut patterns, mut special_ids, mut special_starts) =
            (Vec::new(), Vec::new(), Vec::new());
        for (piece, id) in pieces.iter().zip(0..) {
            if let Piece::Special(piece) = piece {
                patterns.push(piece.as_str());
                special_ids.push(id);
                special_starts.extend(piece.chars().next());
            }
        }
        special_starts.sort_unstable();
        special_starts.dedup();
        let specials = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&patterns)
            .map_err(unusable)?;
        Ok(Self {
            inner,
            pieces,
            specials,
            special_ids,
            special_starts,
            bos,
            unk,
        })
    }
}

/// Refuses a file that encodes or decodes by other rules than the ones built in here.
fn check_parts(inner: &Inner) -> Result<(), InputError> {
    let ModelWrapper::BPE(model) = inner.get_model() else {
        return Err(unusable("its model is not BPE"));
    };
    if !model.byte_fallback
        || model.ignore_merges
        || model.dropout.is_some_and(|dropout| dropout > 0.0)
    {
        return Err(unusable(
            "its BPE model has no byte fallback, ignores merges or drops them",
        ));
    }
    let normalizer = serde_json::to_value(inner.get_normalizer()).map_err(unusable)?;
    let space = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
    if normalizer != space && normalizer != json!({"type": "Sequence", "normalizers": [space]}) {
        return Err(unusable(format!("its normalizer is {normalizer}")));
    }
    let decoder = serde_json::to_value(inner.get_decoder()).map_err(unusable)?;
    let back = json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "});
    let expected =
        json!({"type": "Sequence", "decoders": [back, {"type": "ByteFallback"}, {"type": "Fuse"}]});
    if decoder != expected {
        return Err(unusable(format!("its decoder is {decoder}")));
    }
    Ok(())
}

/// All ways to put a piece together from two, best piece first.
///
/// SentencePiece merges the pair whose result scores highest. Among equal scores the order is that of
/// Hugging Face's converter: the longer left part first. User-defined pieces (runs of spaces and
/// newlines) come before all others, whatever score the file gives them. No merge makes a special token.
fn merges(
    tokens: &[String],
    scores: &[f32],
    types: &[i32],
    specials: &HashSet<u32>,
) -> Vec<(String, String)> {
    let is_text =
        |id: usize| matches!(types[id], NORMAL | USER_DEFINED) && !specials.contains(&(id as u32));
    let texts: HashSet<&str> = (0..tokens.len())
        .filter(|id| is_text(*id))
        .map(|id| tokens[id].as_str())
        .collect();
    let mut merges = Vec::new();
    for id in (0..tokens.len()).filter(|id| is_text(*id)) {
        let token = tokens[id].as_str();
        let score = if types[id] == USER_DEFINED {
            f32::INFINITY
        } else {
            scores[id]
        };
        for (chars, (at, _)) in token.char_indices().enumerate().skip(1) {
            let (left, right) = token.split_at(at);
            if texts.contains(left) && texts.contains(right) {
                merges.push((score, chars, id, left, right));
            }
        }
    }
    let rank = |merge: &(f32, usize, usize, &str, &str)| (merge.1, merge.4.chars().count());
    merges.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| rank(b).cmp(&rank(a))));
    merges
        .into_iter()
        .map(|(_, _, _, left, right)| (left.to_string(), right.to_string()))
        .collect()
}

fn unusable(reason: impl ToString) -> InputError {
    InputError::Tokenizer(reason.to_string())
}
