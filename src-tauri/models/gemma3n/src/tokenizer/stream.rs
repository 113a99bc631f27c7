//! Text from tokens that arrive one by one.

use super::{Piece, Tokenizer};

/// Puts text together from tokens, holding back only bytes that may yet become a character.
///
/// All pieces together are what [`Tokenizer::decode`] gives for all tokens at once.
#[derive(Debug, Clone)]
pub struct TextStream {
    pending: Vec<u8>, // Invariant: the beginning of a character, so at most 3 bytes.
    skip_special: bool,
}

impl TextStream {
    pub fn new(skip_special: bool) -> Self {
        Self {
            pending: Vec::new(),
            skip_special,
        }
    }

    /// Takes the next token, and gives the text that is certain now. Ids without a piece give none.
    pub fn push(&mut self, tokenizer: &Tokenizer, id: u32) -> Option<String> {
        let mut text = String::new();
        match tokenizer.piece(id)? {
            Piece::Special(_) if self.skip_special => return None,
            Piece::Byte(byte) => {
                self.pending.push(*byte);
                self.take_characters(&mut text);
            }
            Piece::Text(piece) | Piece::Special(piece) => {
                text.extend(self.finish());
                text.push_str(piece);
            }
            Piece::Unused => {}
        }
        (!text.is_empty()).then_some(text)
    }

    /// No more tokens come: what was held back is not going to be a character.
    pub fn finish(&mut self) -> Option<String> {
        let unfinished = std::mem::take(&mut self.pending).len();
        (unfinished > 0).then(|| "\u{FFFD}".repeat(unfinished))
    }

    fn take_characters(&mut self, text: &mut String) {
        while !self.pending.is_empty() {
            match str::from_utf8(&self.pending) {
                Ok(whole) => {
                    text.push_str(whole);
                    self.pending.clear();
                }
                Err(error) if error.valid_up_to() == 0 => match error.error_len() {
                    None => return, // A beginning.
                    Some(invalid) => {
                        text.extend(std::iter::repeat_n('\u{FFFD}', invalid));
                        self.pending.drain(..invalid);
                    }
                },
                Err(error) => {
                    let valid: Vec<u8> = self.pending.drain(..error.valid_up_to()).collect();
                    text.push_str(&String::from_utf8_lossy(&valid));
                }
            }
        }
    }
}
