//! A model on disk, opened with everything that belongs to it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use gemma3n::{
    ChatTemplate, Compute, Config, Hearing, ImageProcessor, LogMel, MediaTokens, MelConfig, Model,
    Options, Pixels, PromptBuilder, SoftTokens, Submodel, TextConfig, Tokenizer, best_device,
};
use image::RgbImage;
use weights::{Checkpoint, Metadata};

use crate::error::{Error, Result};
use crate::generation::Generation;
use crate::manifest::Manifest;
use crate::plan::{Plan, Tower, Wishes, plan, replan};

/// How to open a package.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// The projector of a GGUF model, if it does not lie beside it under the usual name.
    pub projector: Option<PathBuf>,
    /// `None`: what suits the file.
    pub compute: Option<Compute>,
    /// Threads that share out the products. `None`: as many as there are cores.
    pub n_threads: Option<usize>,
    /// Bytes that the model may take. `None`: the whole model, whatever it takes.
    pub budget: Option<u64>,
}

pub struct Package {
    model: Model,
    /// Absent in folders that hold weights only.
    text: Option<TextSide>,
    image_processor: Option<ImageProcessor>,
    log_mel: Option<LogMel>,
    generation: Generation,
    submodels: Vec<Arc<Submodel>>,
    notice: Option<String>,
    /// What fits the budget, if there is one.
    fit: Option<Fit>,
}

/// The plan in force, and what the next one is computed from.
struct Fit {
    manifest: Manifest,
    plan: Mutex<Arc<Plan>>,
}

impl Fit {
    fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.plan.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct TextSide {
    tokenizer: Tokenizer,
    prompts: PromptBuilder,
}

impl Package {
    /// Opens a model. `on` hears the share that is done, 0 to 1; false stops.
    pub fn open(
        path: &Path,
        options: &OpenOptions,
        on: &mut dyn FnMut(f64) -> bool,
    ) -> Result<Self> {
        let checkpoint = Checkpoint::open_with_projector(path, options.projector.as_deref())?;
        let checkpoint = Arc::new(checkpoint);
        let fit = match options.budget {
            Some(budget) => {
                let manifest = Manifest::of(&checkpoint, &Config::from_checkpoint(&checkpoint)?)?;
                let plan = plan(&manifest, budget, &Wishes::default())?;
                let plan = Mutex::new(Arc::new(plan));
                Some(Fit { manifest, plan })
            }
            None => None,
        };
        let (device, notice) = best_device();
        let model_options = Options {
            device,
            compute: options.compute,
            n_threads: options.n_threads,
            ..Options::default()
        };
        let total = Model::bytes_to_open(&checkpoint).max(1) as f64;
        let mut progress = |bytes: u64| on((bytes as f64 / total).min(1.0));
        let model = Model::open_with(Arc::clone(&checkpoint), &model_options, &mut progress)
            .map_err(|error| match error {
                gemma3n::Error::Cancelled => Error::Cancelled,
                other => other.into(),
            })?;
        // Bytes that nothing reads (keys and values of layers that borrow theirs) were counted, too.
        if !on(1.0) {
            return Err(Error::Cancelled);
        }
        let config = model.config();

        let tokenizer = read_tokenizer(&checkpoint)?;
        if let Some(tokenizer) = &tokenizer {
            let pieces = tokenizer.vocab_size();
            let vocab_size = config.text.vocab_size;
            if pieces > vocab_size || pieces < config.text_vocab_size() {
                return Err(Error::TokenizerMismatch {
                    file: match checkpoint.metadata() {
                        Metadata::Json(_) => path.join("tokenizer.json").display().to_string(),
                        Metadata::Gguf(_) => format!("the tokenizer of {}", path.display()),
                    },
                    pieces,
                    vocab_size,
                });
            }
        }
        let generation = Generation::from_checkpoint(&checkpoint, tokenizer.as_ref())?;
        let mut media = MediaTokens::default();
        let settings = checkpoint.preprocessor_config()?;
        let mut image_processor = None;
        if let Some(vision) = &config.vision {
            media.image_soft_tokens = vision.soft_tokens_per_image;
            image_processor = Some(match &settings {
                Some(settings) => ImageProcessor::from_json(settings)?,
                None => ImageProcessor::new(vision.image_size as u32, vision.image_size as u32),
            });
        }
        let mut log_mel = None;
        if let Some(audio) = &config.audio {
            media.audio_soft_tokens = audio.soft_tokens_per_clip;
            let mel = match &settings {
                Some(settings) => MelConfig::from_json(settings)?,
                None => MelConfig::default(),
            };
            log_mel = Some(LogMel::new(&mel));
        }
        let text = match tokenizer {
            Some(tokenizer) => Some(TextSide {
                tokenizer,
                prompts: PromptBuilder::new(read_template(&checkpoint)?, media),
            }),
            None => None,
        };
        Ok(Self {
            submodels: submodels(&checkpoint, model.config(), model.whole())?,
            model,
            text,
            image_processor,
            log_mel,
            generation,
            notice,
            fit,
        })
    }

    pub fn model(&self) -> &Model {
        &self.model
    }

    pub fn generation(&self) -> &Generation {
        &self.generation
    }

    /// What the user should know about how the model was opened.
    pub fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }

    /// What was chosen for the budget that the model was opened with, or for the last one since then.
    pub fn plan(&self) -> Option<Arc<Plan>> {
        self.fit.as_ref().map(Fit::plan)
    }

    /// Plans anew for a budget in bytes, if the model was opened by a plan, and returns the plan if something changes.
    ///
    /// Answers in flight go on by it at their next token, and what it has no place for is let go. Where not even
    /// the least fits, the least is what stays.
    pub fn replan(&self, budget: u64) -> Result<Option<Arc<Plan>>> {
        let Some(fit) = &self.fit else {
            return Ok(None);
        };
        let (current, wishes) = (fit.plan(), Wishes::default());
        let next = |budget| replan(&fit.manifest, budget, &wishes, &current);
        let next = match next(budget) {
            Err(Error::DoesNotFit { needed, .. }) => next(needed)?,
            next => next?,
        };
        let Some(next) = next.map(Arc::new) else {
            return Ok(None);
        };
        *fit.plan.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&next);
        if next.vision != Tower::Resident {
            self.model.unload_vision();
        }
        if next.audio != Tower::Resident {
            self.model.unload_audio();
        }
        if next.bytes.text < current.bytes.text {
            self.model.give_back();
        }
        Ok(Some(next))
    }

    /// Tokens that a conversation may have.
    pub fn context(&self) -> usize {
        let longest = self.model.config().text.max_position_embeddings;
        self.plan().map_or(longest, |plan| plan.context)
    }

    pub fn tokenizer(&self) -> Result<&Tokenizer> {
        Ok(&self.text_side()?.tokenizer)
    }

    pub fn prompts(&self) -> Result<&PromptBuilder> {
        Ok(&self.text_side()?.prompts)
    }

    fn text_side(&self) -> Result<&TextSide> {
        self.text.as_ref().ok_or_else(|| Error::NoTokenizer {
            path: self.model.checkpoint().path().display().to_string(),
        })
    }

    /// The submodel of this name, or the one that is spelled out; without a name, the planned one or the whole model.
    pub fn submodel(&self, name: Option<&str>) -> Result<Arc<Submodel>> {
        match name {
            None => Ok(match self.plan() {
                Some(plan) => Arc::clone(&plan.submodel),
                None => Arc::clone(self.model.whole()),
            }),
            Some(name) => find_submodel(name, &self.submodels, &self.model.config().text),
        }
    }

    /// Every submodel that has a name in this package, the whole model among them.
    pub fn submodels(&self) -> &[Arc<Submodel>] {
        &self.submodels
    }

    pub fn encode_picture(&self, picture: &RgbImage) -> Result<SoftTokens> {
        let tower = self.plan().map_or(Tower::Resident, |plan| plan.vision);
        let pixels = self.prepare_picture(picture)?;
        if tower == Tower::Absent {
            return Err(Error::NoRoomFor { what: "a picture" });
        }
        let encoded = self.model.encode_image(&pixels)?;
        if tower == Tower::OnDemand {
            self.model.unload_vision();
        }
        Ok(encoded)
    }

    /// A picture as the vision tower takes it in.
    pub(crate) fn prepare_picture(&self, picture: &RgbImage) -> Result<Pixels> {
        match &self.image_processor {
            Some(processor) => Ok(processor.process(picture)),
            None => Err(gemma3n::Error::no_vision().into()),
        }
    }

    /// Encodes 16 kHz mono samples.
    pub fn encode_sound(&self, samples: &[f32]) -> Result<SoftTokens> {
        self.encode_with(|log_mel| Ok(self.model.encode_audio(&log_mel.extract(samples)?)?))
    }

    /// The same for a sound that may go on where `hearing` has left off, with less work.
    pub fn encode_growing_sound(
        &self,
        samples: &[f32],
        hearing: &mut Hearing,
    ) -> Result<SoftTokens> {
        self.encode_with(|log_mel| {
            let next = hearing.next(log_mel, samples)?;
            Ok(self.model.encode_growing_audio(hearing, &next)?)
        })
    }

    fn encode_with(
        &self,
        encode: impl FnOnce(&LogMel) -> Result<SoftTokens>,
    ) -> Result<SoftTokens> {
        let Some(log_mel) = &self.log_mel else {
            return Err(gemma3n::Error::no_audio().into());
        };
        let tower = self.plan().map_or(Tower::Resident, |plan| plan.audio);
        if tower == Tower::Absent {
            return Err(Error::NoRoomFor { what: "sound" });
        }
        let encoded = encode(log_mel)?;
        if tower == Tower::OnDemand {
            self.model.unload_audio();
        }
        Ok(encoded)
    }
}

fn read_tokenizer(checkpoint: &Checkpoint) -> Result<Option<Tokenizer>> {
    let Metadata::Gguf(gguf) = checkpoint.metadata() else {
        return match checkpoint.text_file("tokenizer.json")? {
            Some(text) => Ok(Some(Tokenizer::from_json(&text)?)),
            None => Ok(None),
        };
    };
    let model = gguf.opt_string("tokenizer.ggml.model")?.unwrap_or("llama");
    if model == "none" {
        return Ok(None);
    }
    if model != "llama" {
        return Err(Error::BrokenFile {
            file: checkpoint.path().display().to_string(),
            reason: format!(
                "tokenizer.ggml.model is {model:?}; Gemma 3n has a SentencePiece tokenizer, \"llama\""
            ),
        });
    }
    let Some(tokens) = gguf.opt_string_array("tokenizer.ggml.tokens")? else {
        return Ok(None);
    };
    let id = |name: &str| -> Result<Option<u32>> {
        let id = gguf.opt_u64(&format!("tokenizer.ggml.{name}_token_id"))?;
        Ok(id.and_then(|id| u32::try_from(id).ok()))
    };
    let tokenizer = Tokenizer::from_gguf(gemma3n::GgufVocab {
        tokens: tokens.iter().map(str::to_owned).collect(),
        scores: gguf.f32_array("tokenizer.ggml.scores")?,
        types: gguf.i32_array("tokenizer.ggml.token_type")?,
        merges: gguf
            .opt_string_array("tokenizer.ggml.merges")?
            .map(|merges| merges.iter().map(str::to_owned).collect()),
        add_space_prefix: gguf
            .opt_bool("tokenizer.ggml.add_space_prefix")?
            .unwrap_or(false),
        bos: id("bos")?,
        eos: id("eos")?,
        unk: id("unknown")?,
        pad: id("padding")?,
    })?;
    Ok(Some(tokenizer))
}

fn read_template(checkpoint: &Checkpoint) -> Result<ChatTemplate> {
    if let Metadata::Gguf(gguf) = checkpoint.metadata() {
        return Ok(match gguf.opt_string("tokenizer.chat_template")? {
            Some(source) => ChatTemplate::new(source)?,
            None => ChatTemplate::default(),
        });
    }
    if let Some(source) = checkpoint.text_file("chat_template.jinja")? {
        return Ok(ChatTemplate::new(&source)?);
    }
    let Some(text) = checkpoint.text_file("tokenizer_config.json")? else {
        return Ok(ChatTemplate::default());
    };
    let value = serde_json::from_str(&text).map_err(|e| Error::BrokenFile {
        file: checkpoint
            .path()
            .join("tokenizer_config.json")
            .display()
            .to_string(),
        reason: format!("it is not JSON: {e}"),
    })?;
    Ok(ChatTemplate::from_tokenizer_config(&value)?.unwrap_or_default())
}

/// The one of this name, or the one that is spelled out. `known` has the whole model among them.
pub(crate) fn find_submodel(
    name: &str,
    known: &[Arc<Submodel>],
    config: &TextConfig,
) -> Result<Arc<Submodel>> {
    if name.contains('=') {
        return Ok(Arc::new(Submodel::explicit(name, config)?));
    }
    let whole = || {
        known.iter().find(|s| {
            s.layers().len() == config.num_hidden_layers && s.widths() == config.intermediate_size
        })
    };
    let found = match name.eq_ignore_ascii_case("full") {
        true => whole(),
        false => known.iter().find(|s| s.name().eq_ignore_ascii_case(name)),
    };
    found.cloned().ok_or_else(|| Error::UnknownSubmodel {
        name: name.to_owned(),
        known: known
            .iter()
            .map(|s| s.name())
            .collect::<Vec<_>>()
            .join(", "),
    })
}

/// The published slices, and the model's own.
pub(crate) fn submodels(
    checkpoint: &Checkpoint,
    config: &Config,
    whole: &Arc<Submodel>,
) -> Result<Vec<Arc<Submodel>>> {
    let mut submodels = Submodel::published(&config.text);
    if let Some((_, own)) = own_submodels(checkpoint, config)? {
        submodels.extend(own);
    }
    let mut submodels: Vec<Arc<Submodel>> = submodels.into_iter().map(Arc::new).collect();
    if submodels.iter().all(|s| s.name() != whole.name()) {
        submodels.push(Arc::clone(whole));
    }
    submodels.sort_by_key(|s| s.effective_parameters(&config.text));
    Ok(submodels)
}

/// The table of the model's own slices, and the slices. One that lies beside the model and does not fit is no table of it.
pub(crate) fn own_submodels(
    checkpoint: &Checkpoint,
    config: &Config,
) -> Result<Option<(String, Vec<Submodel>)>> {
    let Some(table) = checkpoint.submodel_table()? else {
        return Ok(None);
    };
    match Submodel::from_json(&table.text, &config.text) {
        Ok(submodels) => Ok(Some((table.text, submodels))),
        Err(error) if table.own => Err(error.into()),
        Err(_) => Ok(None),
    }
}
