//! One conversation: its messages, and the cache that holds them.

use std::sync::Arc;
use std::time::Instant;

use candle_core::{DType, Device};
use gemma3n::{
    KvCache, Message, Part as PromptPart, Prompt, Role, SoftTokens, Step, Submodel, Tokens, Wanted,
};
use image::RgbImage;

use crate::error::{Error, Result};
use crate::generation::{Generation, Overrides};
use crate::package::Package;
use crate::sampler::Sampler;

/// Tokens of a prompt that are prefilled at once; between two such chunks a request can be stopped.
pub(crate) const CHUNK: usize = 128;

/// A piece of a user's turn.
#[derive(Clone, Debug)]
pub enum Part {
    Text(String),
    Image(RgbImage),
    /// 16 kHz mono.
    Audio(Vec<f32>),
}

/// A question of the past and what was answered.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub question: Vec<Part>,
    pub answer: String,
}

/// What a user asks, and how the answer should be written.
#[derive(Clone, Debug, Default)]
pub struct Turn {
    pub parts: Vec<Part>,
    /// What was said before, for a conversation that the engine does not know; others remember it themselves.
    pub history: Vec<Exchange>,
    /// The id that the conversation goes by once it has this answer.
    pub then: Option<String>,
    /// Instructions for the whole conversation; heeded in its first turn.
    pub system: Option<String>,
    /// Token ids to continue instead of parts; no template is applied.
    pub ids: Option<Vec<u32>>,
    pub submodel: Option<String>,
    pub overrides: Overrides,
    pub seed: Option<u64>,
    /// `None`: until the model stops or the context is full.
    pub max_tokens: Option<usize>,
}

/// What happens while an answer is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// So many of the prompt's tokens are in.
    Prefill {
        done: usize,
        total: usize,
    },
    /// A token, and the text that is certain with it: none while a character is incomplete.
    Token {
        id: u32,
        text: String,
    },
    /// The plan has changed: the answer goes on with this submodel, once it has taken in all that came before.
    Moved {
        submodel: Arc<Submodel>,
    },
    Done(Report),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoneReason {
    /// The model ended its turn.
    Stop,
    /// The number of tokens asked for is reached, or the context is full.
    Length,
    Cancelled,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub reason: DoneReason,
    /// The answer ended because the context holds no more.
    pub context_full: bool,
    /// Tokens that were prefilled for this turn.
    pub prompt_tokens: usize,
    pub completion_tokens: usize,
    /// Positions of the context that are taken now.
    pub context_tokens: usize,
    /// From the request to the first token, encoding of pictures and sound included.
    pub time_to_first_token_ms: f64,
    pub prefill_tokens_per_second: f64,
    pub decode_tokens_per_second: f64,
    /// Text of the last tokens that waited for the rest of a character which never came.
    pub held_back: String,
}

/// The messages so far and the state that the model is in after them.
#[derive(Default)]
pub(crate) struct Conversation {
    messages: Vec<Message>,
    /// Every picture and sound of the conversation, in order, encoded.
    media: Vec<Arc<SoftTokens>>,
    state: Option<State>,
}

/// What the model has taken in. Anything that goes wrong in a step drops it; it can be computed again.
struct State {
    cache: KvCache,
    /// Tokens of the last answer that have not gone through the model.
    unfed: Vec<u32>,
    /// Every token of the context, those of `unfed` last: for the repetition penalty, and to begin again with another submodel.
    seen: Vec<u32>,
}

/// Hears events; false stops the answer at the next token.
pub(crate) type OnEvent<'a> = dyn FnMut(Event) -> bool + 'a;

impl Conversation {
    /// Frees the cache; the next turn fills it again.
    pub fn put_down(&mut self) {
        self.state = None;
    }

    /// Whether nothing was said in it.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Answers a turn. After an error the conversation is as it was before the turn.
    pub fn answer(&mut self, package: &Package, turn: &Turn, on: &mut OnEvent) -> Result<Report> {
        let (n_messages, n_media) = (self.messages.len(), self.media.len());
        let result = self.try_answer(package, turn, on);
        if result.is_err() {
            self.messages.truncate(n_messages);
            self.media.truncate(n_media);
            self.state = None;
        }
        result
    }

    fn try_answer(&mut self, package: &Package, turn: &Turn, on: &mut OnEvent) -> Result<Report> {
        let started = Instant::now();
        let generation = package.generation().with(&turn.overrides)?;
        let submodel = package.submodel(turn.submodel.as_deref())?;
        let (mut state, prompt) = match &turn.ids {
            Some(ids) => {
                let prompt = Prompt::text(ids.clone());
                (State::new(package, &submodel), prompt)
            }
            None => self.prepare(package, turn, &submodel)?,
        };
        if prompt.is_empty() {
            return Err(gemma3n::InputError::NoMessages.into());
        }
        let context = package.context();
        let needed = state.cache.len() + prompt.len();
        if needed >= context {
            return Err(Error::TooLong { needed, context });
        }

        let seed = turn.seed.unwrap_or_else(random_seed);
        let mut writer = Writer {
            package,
            sampler: Sampler::new(generation.clone(), seed),
            generation,
            started,
            media: &self.media,
            follows_plan: turn.submodel.is_none(),
            state: &mut state,
            on,
        };
        let (report, reply) = writer.write(&prompt, turn.max_tokens.unwrap_or(usize::MAX))?;
        if turn.ids.is_none() {
            self.messages.push(Message::text(Role::Assistant, reply));
            self.state = Some(state).filter(State::is_whole);
        }
        Ok(report)
    }

    /// Adds the turn to the messages, and says what the model has to take in for it.
    fn prepare(
        &mut self,
        package: &Package,
        turn: &Turn,
        submodel: &Arc<Submodel>,
    ) -> Result<(State, Prompt)> {
        let prompts = package.prompts()?;
        let tokenizer = package.tokenizer()?;
        let is_new = self.is_empty();
        if let Some(system) = turn.system.as_ref().filter(|_| is_new) {
            self.messages.push(Message::text(Role::System, system));
        }
        for exchange in turn.history.iter().filter(|_| is_new) {
            let parts = self.take_in(package, &exchange.question)?;
            self.messages.push(Message {
                role: Role::User,
                parts,
            });
            let answer = Message::text(Role::Assistant, &exchange.answer);
            self.messages.push(answer);
        }
        let known_media = self.media.len();
        let parts = self.take_in(package, &turn.parts)?;
        let before = self.messages.len();
        self.messages.push(Message {
            role: Role::User,
            parts,
        });
        let all = prompts.render(tokenizer, &self.messages, true)?.ids;
        let soft = |media: &[Arc<SoftTokens>], ids| {
            let media: Vec<&SoftTokens> = media.iter().map(AsRef::as_ref).collect();
            package.model().prompt(ids, &media)
        };
        // What the last answer's tokens were is in the cache, whatever the answer's text would be split
        // into; so a follow-up is everything from the end of that answer on.
        if let Some(mut state) = self.state.take()
            && state.cache.submodel() == submodel
            && before > 0
        {
            let answered = prompts
                .render(tokenizer, &self.messages[..before], false)?
                .ids;
            let stop_ids = &package.generation().stop_ids;
            let end = answered.iter().rposition(|id| stop_ids.contains(id));
            if let Some(end) = end.filter(|_| all.starts_with(&answered)) {
                state.seen.truncate(state.cache.len());
                let mut ids = std::mem::take(&mut state.unfed);
                ids.extend_from_slice(&all[end..]);
                let prompt = soft(&self.media[known_media..], ids)?;
                return Ok((state, prompt));
            }
        }
        Ok((State::new(package, submodel), soft(&self.media, all)?))
    }

    /// Encodes the pictures and sounds among the parts, and returns what stands for them in a prompt.
    fn take_in(&mut self, package: &Package, parts: &[Part]) -> Result<Vec<PromptPart>> {
        let mut prompt = Vec::new();
        for part in parts {
            prompt.push(match part {
                Part::Text(text) => PromptPart::Text(text.clone()),
                Part::Image(picture) => {
                    self.media.push(Arc::new(package.encode_picture(picture)?));
                    PromptPart::Image
                }
                Part::Audio(samples) => {
                    self.media.push(Arc::new(package.encode_sound(samples)?));
                    PromptPart::Audio
                }
            });
        }
        Ok(prompt)
    }
}

impl State {
    fn new(package: &Package, submodel: &Arc<Submodel>) -> Self {
        Self {
            cache: package.model().new_cache(submodel),
            unfed: Vec::new(),
            seen: Vec::new(),
        }
    }

    /// Not so if it was stopped while another submodel took it in.
    fn is_whole(&self) -> bool {
        self.cache.len() + self.unfed.len() == self.seen.len()
    }
}

/// Writes one answer.
struct Writer<'a, 'b> {
    package: &'a Package,
    generation: Generation,
    sampler: Sampler,
    started: Instant,
    /// What the context holds of pictures and sound.
    media: &'a [Arc<SoftTokens>],
    /// Nobody has asked for a certain submodel.
    follows_plan: bool,
    state: &'a mut State,
    on: &'a mut OnEvent<'b>,
}

impl Writer<'_, '_> {
    fn write(&mut self, prompt: &Prompt, max_tokens: usize) -> Result<(Report, String)> {
        let prefill_started = Instant::now();
        let mut reply = String::new();
        let mut report = Report {
            reason: DoneReason::Cancelled,
            context_full: false,
            prompt_tokens: prompt.len(),
            completion_tokens: 0,
            context_tokens: 0,
            time_to_first_token_ms: 0.0,
            prefill_tokens_per_second: 0.0,
            decode_tokens_per_second: 0.0,
            held_back: String::new(),
        };
        let Some(mut logits) = self.prefill(prompt)? else {
            // A prompt that is half in is of no use to the next turn.
            *self.state = State::new(self.package, &Arc::clone(self.state.cache.submodel()));
            (self.on)(Event::Done(report.clone()));
            return Err(Error::Cancelled);
        };
        report.prefill_tokens_per_second = rate(prompt.len(), prefill_started);
        let context = self.package.context();
        let tokenizer = self.package.tokenizer().ok();
        let mut stream = tokenizer.map(|t| t.stream());
        let mut decode_started = Instant::now();
        loop {
            let id = self.next(logits)?;
            if report.completion_tokens == 0 {
                report.time_to_first_token_ms = milliseconds(self.started);
                decode_started = Instant::now();
            }
            if self.generation.stop_ids.contains(&id) {
                report.reason = DoneReason::Stop;
                break;
            }
            let text = match (&mut stream, tokenizer) {
                (Some(stream), Some(tokenizer)) => stream.push(tokenizer, id).unwrap_or_default(),
                _ => String::new(),
            };
            reply.push_str(&text);
            report.completion_tokens += 1;
            self.state.unfed.push(id);
            self.state.seen.push(id);
            if !(self.on)(Event::Token { id, text }) {
                break;
            }
            report.context_full = self.state.cache.len() + self.state.unfed.len() >= context;
            if report.completion_tokens >= max_tokens || report.context_full {
                report.reason = DoneReason::Length;
                break;
            }
            let next = match self.other_submodel()? {
                None => self.step(Tokens::text(&[id]), Wanted::Last)?,
                Some(submodel) => self.move_to(&submodel)?,
            };
            let Some(next) = next else {
                break;
            };
            logits = next;
            self.state.unfed.clear();
        }
        // The first token belongs to the prefill.
        let decoded = report.completion_tokens.saturating_sub(1);
        report.decode_tokens_per_second = rate(decoded, decode_started);
        report.context_tokens = self.state.seen.len();
        report.held_back = stream.and_then(|mut s| s.finish()).unwrap_or_default();
        reply.push_str(&report.held_back);
        (self.on)(Event::Done(report.clone()));
        Ok((report, reply))
    }

    /// Logits behind the prompt, or nothing if the request was stopped.
    fn prefill(&mut self, prompt: &Prompt) -> Result<Option<Vec<f32>>> {
        self.state.seen.extend_from_slice(prompt.ids());
        self.take_in(prompt)
    }

    /// The submodel to go on with, if it is not the one that has written so far.
    fn other_submodel(&self) -> Result<Option<Arc<Submodel>>> {
        if !self.follows_plan {
            return Ok(None);
        }
        let planned = self.package.submodel(None)?;
        Ok((planned != *self.state.cache.submodel()).then_some(planned))
    }

    /// Computes the whole context again: keys and values of two submodels differ from the first narrower layer on.
    /// Nothing if the request was stopped meanwhile; the next turn begins anew then.
    fn move_to(&mut self, submodel: &Arc<Submodel>) -> Result<Option<Vec<f32>>> {
        let media: Vec<&SoftTokens> = self.media.iter().map(AsRef::as_ref).collect();
        let context = self
            .package
            .model()
            .prompt(self.state.seen.clone(), &media)?;
        self.state.cache = self.package.model().new_cache(submodel);
        let submodel = Arc::clone(submodel);
        if !(self.on)(Event::Moved { submodel }) {
            return Ok(None);
        }
        self.take_in(&context)
    }

    fn take_in(&mut self, prompt: &Prompt) -> Result<Option<Vec<f32>>> {
        let mut done = 0;
        loop {
            let end = (done + CHUNK).min(prompt.len());
            let last = end == prompt.len();
            let wanted = if last { Wanted::Last } else { Wanted::None };
            let logits = self.step(prompt.slice(done..end), wanted)?;
            done = end;
            let total = prompt.len();
            if !(self.on)(Event::Prefill { done, total }) {
                return Ok(None);
            }
            if last {
                return Ok(logits);
            }
        }
    }

    fn step(&mut self, tokens: Tokens, wanted: Wanted) -> Result<Option<Vec<f32>>> {
        let mut steps = [Step {
            cache: &mut self.state.cache,
            tokens,
            wanted,
        }];
        let Some(logits) = self.package.model().step(&mut steps)? else {
            return Ok(None);
        };
        // What stands for pictures and sound has logits without meaning.
        let n_text = self.package.model().config().text_vocab_size();
        let n_text = n_text.min(logits.dim(1)?);
        let text = logits.narrow(1, 0, n_text)?.to_device(&Device::Cpu)?;
        Ok(Some(text.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?))
    }

    fn next(&mut self, logits: Vec<f32>) -> Result<u32> {
        match self.sampler.sample(logits, &self.state.seen) {
            Some(id) => Ok(id),
            None => Err(self.package.model().explain_not_finite().into()),
        }
    }
}

pub(crate) fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn rate(n: usize, since: Instant) -> f64 {
    let seconds = since.elapsed().as_secs_f64();
    if n == 0 || seconds == 0.0 {
        0.0
    } else {
        n as f64 / seconds
    }
}

/// Different at every call, and no secret.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}
