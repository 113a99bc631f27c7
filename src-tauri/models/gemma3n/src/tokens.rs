//! What goes into a forward pass: token ids, and rows for those that stand for pictures and sound.

use std::ops::Range;

use crate::cache::KvCache;
use crate::text::Wanted;

/// What media a run of soft tokens came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    Image,
    Audio,
}

/// A picture or a clip as the text model takes it in: one row for each of its positions.
#[derive(Clone, Debug, PartialEq)]
pub struct SoftTokens {
    pub(crate) kind: MediaKind,
    pub(crate) rows: Vec<f32>,
}

impl SoftTokens {
    pub fn kind(&self) -> MediaKind {
        self.kind
    }

    /// `[positions, hidden]`, row after row.
    pub fn rows(&self) -> &[f32] {
        &self.rows
    }
}

/// Token ids, and rows for those that stand for pictures and sound.
#[derive(Clone, Debug, Default)]
pub struct Prompt {
    pub(crate) ids: Vec<u32>,
    /// Positions of soft tokens, ascending.
    pub(crate) places: Vec<usize>,
    /// One row for each place.
    pub(crate) rows: Vec<f32>,
}

impl Prompt {
    pub fn text(ids: Vec<u32>) -> Self {
        Self {
            ids,
            ..Self::default()
        }
    }

    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    pub fn len(&self) -> usize {
        self.ids.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// A stretch of the prompt, to be prefilled by itself.
    pub fn slice(&self, range: Range<usize>) -> Tokens<'_> {
        let first = self.places.partition_point(|&p| p < range.start);
        let last = self.places.partition_point(|&p| p < range.end);
        let hidden = self.rows.len().checked_div(self.places.len()).unwrap_or(0);
        Tokens {
            start: range.start,
            ids: &self.ids[range],
            places: &self.places[first..last],
            rows: &self.rows[first * hidden..last * hidden],
        }
    }

    pub fn whole(&self) -> Tokens<'_> {
        self.slice(0..self.ids.len())
    }
}

/// New tokens for one step.
#[derive(Clone, Copy, Debug)]
pub struct Tokens<'a> {
    pub(crate) start: usize,
    pub(crate) ids: &'a [u32],
    pub(crate) places: &'a [usize],
    pub(crate) rows: &'a [f32],
}

impl<'a> Tokens<'a> {
    /// Tokens that stand for themselves.
    pub fn text(ids: &'a [u32]) -> Self {
        Self {
            start: 0,
            ids,
            places: &[],
            rows: &[],
        }
    }
}

/// One sequence's part in a step.
pub struct Step<'a> {
    pub cache: &'a mut KvCache,
    pub tokens: Tokens<'a>,
    pub wanted: Wanted,
}
