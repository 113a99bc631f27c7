//! Questions outside of any conversation, asked again and again with a little more sound: captions.
//!
//! Four things make that cheap. The instruction comes before the sound, so its keys and values are
//! computed once and kept. So are those of the sound that was heard before, whose encoding goes on where it was. The part of the answer that is settled is given and not decoded. And what the
//! last answer went on with is a draft: one pass over it confirms all that still holds (greedy
//! speculative decoding, Leviathan et al. 2023), and only the rest is decoded token by token.

use candle_core::{DType, Device};
use gemma3n::{
    Hearing, KvCache, Message, Part as PromptPart, Prompt, Role, SoftTokens, Step, Tokens, Wanted,
};

use crate::conversation::CHUNK;
use crate::error::{Error, Result};
use crate::package::Package;
use crate::sampler::argmax;

/// A question about a sound, or about nothing but its own text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listen {
    pub prompt: String,
    /// 16 kHz mono.
    pub samples: Option<Vec<f32>>,
    /// The answer begins with this.
    pub begun: String,
    /// How the answer may go on behind that. It changes what the answer costs and not what it says.
    pub draft: String,
    pub submodel: Option<String>,
    /// Longest answer behind what it begins with.
    pub max_tokens: usize,
}

/// An answer, always of the most probable tokens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listened {
    /// What follows the beginning that was given.
    pub text: String,
    /// The model ended it by itself.
    pub complete: bool,
    /// Tokens of the prompt that did not have to be computed.
    pub n_reused: usize,
    /// Tokens of the draft, and how many of them held.
    pub n_draft: usize,
    pub n_confirmed: usize,
    /// Passes of one token each.
    pub n_decoded: usize,
}

/// What is kept from one question to the next.
#[derive(Default)]
pub(crate) struct Listener {
    about_sound: Option<Kept>,
    about_text: Option<Kept>,
    /// The sounds of the last questions, the latest at the end: one for each channel of captions.
    hearings: Vec<Hearing>,
}

const MAX_HEARINGS: usize = 2;

struct Kept {
    cache: KvCache,
    /// The tokens in the cache up to the end of the sound.
    ids: Vec<u32>,
    /// What stands for the sound in the model's input.
    sound: Option<SoftTokens>,
}

impl Listener {
    /// Answers a question; `goes_on` is asked between passes.
    pub fn listen(
        &mut self,
        package: &Package,
        listen: &Listen,
        goes_on: &mut dyn FnMut() -> bool,
    ) -> Result<Listened> {
        let sound = match &listen.samples {
            Some(samples) => Some(self.encode(package, samples)?),
            None => None,
        };
        let slot = if listen.samples.is_some() {
            &mut self.about_sound
        } else {
            &mut self.about_text
        };
        let kept = slot.take();
        let mut question = Question::new(package, listen, sound)?;
        let (cache, n_reused) = question.reuse(package, kept, listen.submodel.as_deref())?;
        let mut pass = Pass {
            package,
            cache,
            goes_on,
        };
        let mut listened = question.answer(&mut pass, listen.max_tokens)?;
        listened.n_reused = n_reused;
        // An error before this point has left the slot empty: its cache is not to be used again.
        question.ids.truncate(question.n_fixed);
        *slot = Some(Kept {
            cache: pass.cache,
            ids: question.ids,
            sound: question.sound,
        });
        Ok(listened)
    }

    /// Goes on with the sound that this one begins with, if it is one of the last.
    fn encode(&mut self, package: &Package, samples: &[f32]) -> Result<SoftTokens> {
        let known = self.hearings.iter().rposition(|h| h.begins(samples));
        let mut hearing = match known {
            Some(at) => self.hearings.remove(at),
            None => Hearing::default(),
        };
        let encoded = package.encode_growing_sound(samples, &mut hearing)?;
        self.hearings.push(hearing);
        if self.hearings.len() > MAX_HEARINGS {
            self.hearings.remove(0);
        }
        Ok(encoded)
    }
}

/// A question in tokens.
struct Question {
    prompt: Prompt,
    ids: Vec<u32>,
    sound: Option<SoftTokens>,
    /// Tokens up to the end of the sound, which the next question may share, and those of them before it.
    n_fixed: usize,
    n_before: usize,
    /// Tokens of the question and of the answer's beginning.
    n_given: usize,
    draft: Vec<u32>,
}

impl Question {
    fn new(package: &Package, listen: &Listen, sound: Option<SoftTokens>) -> Result<Self> {
        let tokenizer = package.tokenizer()?;
        let mut parts = vec![PromptPart::Text(listen.prompt.clone())];
        if sound.is_some() {
            parts.push(PromptPart::Audio);
        }
        let role = Role::User;
        let messages = [Message { role, parts }];
        let mut ids = package.prompts()?.render(tokenizer, &messages, true)?.ids;
        let soft = package.model().config().audio_token_id;
        let n_before = ids.iter().position(|id| *id == soft);
        let n_fixed = ids.iter().rposition(|id| *id == soft).map(|last| last + 1);
        let (n_before, n_fixed) = (n_before.unwrap_or(ids.len()), n_fixed.unwrap_or(ids.len()));

        let begun = tokenizer.encode_plain(&listen.begun)?;
        let both = tokenizer.encode_plain(&format!("{}{}", listen.begun, listen.draft))?;
        ids.extend_from_slice(&begun);
        let n_given = ids.len();
        // Where the border goes through a token, the draft would not be what the model writes.
        let draft = both.strip_prefix(&begun[..]).unwrap_or_default();
        let draft = draft[..draft.len().min(listen.max_tokens)].to_vec();
        ids.extend_from_slice(&draft);
        let context = package.context();
        let needed = n_given + listen.max_tokens;
        if needed > context {
            return Err(Error::TooLong { needed, context });
        }
        let media: Vec<_> = sound.iter().collect();
        Ok(Self {
            prompt: package.model().prompt(ids.clone(), &media)?,
            ids,
            sound,
            n_fixed,
            n_before,
            n_given,
            draft,
        })
    }

    /// A cache that holds the first tokens of the question, and how many.
    fn reuse(
        &self,
        package: &Package,
        kept: Option<Kept>,
        submodel: Option<&str>,
    ) -> Result<(KvCache, usize)> {
        let submodel = package.submodel(submodel)?;
        if let Some(mut kept) = kept.filter(|kept| *kept.cache.submodel() == submodel) {
            let same = kept.ids.iter().zip(&self.ids[..self.n_fixed]);
            let n_same = same.take_while(|(a, b)| a == b).count();
            let n_same = n_same.min(self.n_before + self.n_same_sound(&kept));
            // At least one token has to go through the model for its logits.
            let n_same = n_same.min(self.n_given - 1);
            if n_same > 0 && kept.cache.truncate(n_same) {
                return Ok((kept.cache, n_same));
            }
        }
        Ok((package.model().new_cache(&submodel), 0))
    }

    /// Tokens of the sound whose rows are the same as in what is kept.
    fn n_same_sound(&self, kept: &Kept) -> usize {
        let (Some(new), Some(old)) = (&self.sound, &kept.sound) else {
            return 0;
        };
        let width = new.rows().len() / (self.n_fixed - self.n_before);
        let (new, old) = (new.rows().chunks(width), old.rows().chunks(width));
        new.zip(old).take_while(|(a, b)| a == b).count()
    }

    fn answer(&self, pass: &mut Pass, max_tokens: usize) -> Result<Listened> {
        let tokenizer = pass.package.tokenizer()?;
        let stop_ids = &pass.package.generation().stop_ids;
        // The last token that is given and the draft go together, and each of them has its say on the next.
        let last = self.n_given - 1;
        for start in (pass.cache.len()..last).step_by(CHUNK) {
            let end = (start + CHUNK).min(last);
            pass.step(self.prompt.slice(start..end), Wanted::None)?;
        }
        let rest = self.prompt.slice(last..self.ids.len());
        let says = pass.step(rest, Wanted::All)?;
        let agreed = says.iter().zip(&self.draft).take_while(|(a, b)| a == b);
        let n_confirmed = agreed.count();
        let forgotten = pass.cache.truncate(self.n_given + n_confirmed);
        assert!(forgotten, "the position is one of the last step's");

        let mut next = says[n_confirmed];
        let mut ids = self.draft[..n_confirmed].to_vec();
        let mut n_decoded = 0;
        while !stop_ids.contains(&next) && ids.len() < max_tokens {
            ids.push(next);
            next = pass.step(Tokens::text(&[next]), Wanted::Last)?[0];
            n_decoded += 1;
        }
        Ok(Listened {
            text: tokenizer.decode(&ids, true)?,
            complete: stop_ids.contains(&next),
            n_reused: 0,
            n_draft: self.draft.len(),
            n_confirmed,
            n_decoded,
        })
    }
}

/// Runs tokens through the model.
struct Pass<'a> {
    package: &'a Package,
    cache: KvCache,
    goes_on: &'a mut dyn FnMut() -> bool,
}

impl Pass<'_> {
    /// The most probable token behind each of those wanted.
    fn step(&mut self, tokens: Tokens, wanted: Wanted) -> Result<Vec<u32>> {
        if !(self.goes_on)() {
            return Err(Error::Cancelled);
        }
        let mut steps = [Step {
            cache: &mut self.cache,
            tokens,
            wanted,
        }];
        let model = self.package.model();
        let Some(logits) = model.step(&mut steps)? else {
            return Ok(Vec::new());
        };
        // What stands for pictures and sound has logits without meaning.
        let n_text = model.config().text_vocab_size().min(logits.dim(1)?);
        let logits = logits.narrow(1, 0, n_text)?.to_device(&Device::Cpu)?;
        let rows: Vec<Vec<f32>> = logits.to_dtype(DType::F32)?.to_vec2()?;
        let best = |row: &Vec<f32>| {
            let finite = !row.iter().any(|logit| logit.is_nan());
            argmax(row).filter(|_| finite)
        };
        let best: Option<Vec<u32>> = rows.iter().map(best).collect();
        best.ok_or_else(|| model.explain_not_finite().into())
    }
}
