//! What fits: the submodel, the towers and the context for a budget of memory.
//!
//! A [`Plan`] is computed from numbers alone, so that it can be asked for any machine. It never
//! exceeds its budget, and more memory never makes the submodel smaller: the submodel is the
//! largest one that leaves room for a context of 8K tokens and for the larger tower beside it, and only
//! when none does, context and then towers are given up.

use std::sync::Arc;

use gemma3n::Submodel;

use crate::conversation::CHUNK;
use crate::error::{Error, Result};
use crate::manifest::Manifest;

/// What a plan grows to before it thinks of a larger submodel, and after it, in tokens.
const USUAL_CONTEXT: usize = 8192;
/// With less than this a conversation is over before it has begun.
const LEAST_CONTEXT: usize = 1024;
/// A running model grows only if what it grows to fits a budget smaller by this share, so that it does not go back and forth.
const RESERVE_TO_GROW: f64 = 0.08;

/// What the user insists on.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// `None`: the largest that fits.
    pub submodel: Option<Arc<Submodel>>,
    /// At least so many tokens; `None`: what is usual.
    pub context: Option<usize>,
    pub without_vision: bool,
    pub without_audio: bool,
}

/// Where a tower is between two requests that need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tower {
    Resident,
    /// Read for a request that needs it, and let go.
    OnDemand,
    /// The model has none, the user wants none, or it does not fit.
    Absent,
}

/// Bytes of each part; a tower on demand counts while it is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartBytes {
    pub text: u64,
    pub vision: u64,
    pub audio: u64,
    pub kv: u64,
    pub scratch: u64,
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub budget: u64,
    pub submodel: Arc<Submodel>,
    pub vision: Tower,
    pub audio: Tower,
    /// Tokens of one conversation.
    pub context: usize,
    pub kv: &'static str,
    pub bytes: PartBytes,
    /// The most that is taken at any time: of two towers on demand only one is there.
    pub total: u64,
    /// The whole model, with every tower that it has and the user wants in memory.
    pub is_complete: bool,
    /// The plan in sentences.
    pub why: Vec<String>,
}

impl Plan {
    /// Whether the model runs the same by both, whatever they say about the budget.
    fn runs_as(&self, other: &Self) -> bool {
        let of = |plan: &Self| (plan.vision, plan.audio, plan.context);
        self.submodel == other.submodel && of(self) == of(other)
    }
}

/// A plan before it is told: what is chosen, and what it takes.
#[derive(Clone)]
struct Choice {
    submodel: Arc<Submodel>,
    vision: Tower,
    audio: Tower,
    context: usize,
}

impl Choice {
    fn bytes(&self, manifest: &Manifest) -> PartBytes {
        let tower = |tower, bytes: Option<u64>| match tower {
            Tower::Absent => 0,
            Tower::Resident | Tower::OnDemand => bytes.unwrap_or(0),
        };
        PartBytes {
            text: manifest.text_bytes(&self.submodel),
            vision: tower(self.vision, manifest.vision()),
            audio: tower(self.audio, manifest.audio()),
            kv: manifest.kv_bytes(&self.submodel, self.context, CHUNK),
            scratch: manifest.scratch_bytes(&self.submodel, CHUNK),
        }
    }

    fn total(&self, manifest: &Manifest) -> u64 {
        let bytes = self.bytes(manifest);
        let towers = match (self.vision, self.audio) {
            (Tower::OnDemand, Tower::OnDemand) => bytes.vision.max(bytes.audio),
            _ => bytes.vision + bytes.audio,
        };
        bytes.text + bytes.kv + bytes.scratch + towers
    }
}

/// The best that fits `budget` bytes.
pub fn plan(manifest: &Manifest, budget: u64, wishes: &Wishes) -> Result<Plan> {
    let choice = choose(manifest, budget, wishes)?;
    Ok(told(manifest, budget, wishes, choice))
}

/// What a model that runs by `current` should go on with, if that is something else.
///
/// As long as the current plan fits, it only gives way to a larger one, and only if there is some room to spare.
pub fn replan(
    manifest: &Manifest,
    budget: u64,
    wishes: &Wishes,
    current: &Plan,
) -> Result<Option<Plan>> {
    if current.total > budget {
        let smaller = plan(manifest, budget, wishes)?;
        return Ok((!smaller.runs_as(current)).then_some(smaller));
    }
    let careful = (budget as f64 * (1.0 - RESERVE_TO_GROW)) as u64;
    // Where that is too little for anything, what runs stays.
    let larger = plan(manifest, careful, wishes).ok();
    Ok(larger.filter(|larger| {
        larger.bytes.text >= current.bytes.text
            && larger.total > current.total
            && !larger.runs_as(current)
    }))
}

fn choose(manifest: &Manifest, budget: u64, wishes: &Wishes) -> Result<Choice> {
    let pinned = wishes.submodel.as_ref().map(std::slice::from_ref);
    let submodels = pinned.unwrap_or(manifest.submodels());
    let longest = manifest.text_config().max_position_embeddings;
    let usual = wishes.context.unwrap_or(USUAL_CONTEXT).min(longest);
    let wanted = |has: bool, without: bool| match has && !without {
        true => Tower::OnDemand,
        false => Tower::Absent,
    };
    let fits = |choice: &Choice| choice.total(manifest) <= budget;
    let mut choice = Choice {
        submodel: Arc::clone(&submodels[0]),
        vision: wanted(manifest.vision().is_some(), wishes.without_vision),
        audio: wanted(manifest.audio().is_some(), wishes.without_audio),
        context: usual,
    };

    let larger = submodels.iter().rev().find(|&submodel| {
        fits(&Choice {
            submodel: Arc::clone(submodel),
            ..choice.clone()
        })
    });
    match larger {
        Some(submodel) => choice.submodel = Arc::clone(submodel),
        None => {
            // The smallest, then: less context, then without pictures, then without sound.
            let least = wishes.context.unwrap_or(LEAST_CONTEXT).min(longest);
            let (vision, audio) = (choice.vision, choice.audio);
            let ways = [
                (vision, audio),
                (Tower::Absent, audio),
                (vision, Tower::Absent),
                (Tower::Absent, Tower::Absent),
            ];
            let contexts = || std::iter::successors(Some(usual), |&c| Some(c / 2));
            let found = ways
                .into_iter()
                .flat_map(|(vision, audio)| {
                    contexts()
                        .take_while(|&context| context >= least)
                        .map(move |context| (vision, audio, context))
                })
                .map(|(vision, audio, context)| Choice {
                    submodel: Arc::clone(&submodels[0]),
                    vision,
                    audio,
                    context,
                })
                .find(fits);
            return found.ok_or_else(|| {
                let bare = Choice {
                    submodel: Arc::clone(&submodels[0]),
                    vision: Tower::Absent,
                    audio: Tower::Absent,
                    context: least,
                };
                Error::DoesNotFit {
                    needed: bare.total(manifest),
                    budget,
                }
            });
        }
    }
    // What is left goes into what the user waits for: sound first, since captions cannot wait, then pictures, then context.
    for grow in [
        (|choice| choice.audio = resident(choice.audio)) as fn(&mut Choice),
        |choice| choice.vision = resident(choice.vision),
    ] {
        let mut grown = choice.clone();
        grow(&mut grown);
        if fits(&grown) {
            choice = grown;
        }
    }
    while choice.context < longest {
        let grown = Choice {
            context: (choice.context * 2).min(longest),
            ..choice.clone()
        };
        if !fits(&grown) {
            break;
        }
        choice = grown;
    }
    Ok(choice)
}

fn resident(tower: Tower) -> Tower {
    match tower {
        Tower::OnDemand => Tower::Resident,
        other => other,
    }
}

fn told(manifest: &Manifest, budget: u64, wishes: &Wishes, choice: Choice) -> Plan {
    let total = choice.total(manifest);
    let parts = |wanted: Tower| {
        let parts = [(choice.audio, "sound"), (choice.vision, "pictures")];
        let parts = parts.into_iter().filter(|&(tower, _)| tower == wanted);
        parts
            .map(|(_, name)| name)
            .collect::<Vec<_>>()
            .join(" and ")
    };
    let mut model = size_name(&choice.submodel, manifest);
    for (word, parts) in [
        ("with", parts(Tower::Resident)),
        ("on demand:", parts(Tower::OnDemand)),
    ] {
        if !parts.is_empty() {
            model += &format!(", {word} {parts}");
        }
    }
    if (choice.vision, choice.audio) == (Tower::Absent, Tower::Absent) {
        model += ", text only";
    }
    let mut why = vec![format!(
        "{model}; a context of {} tokens. {} of {}.",
        choice.context,
        size(total),
        size(budget)
    )];
    for (tower, bytes, without, what) in [
        (
            choice.audio,
            manifest.audio(),
            wishes.without_audio,
            "Sound",
        ),
        (
            choice.vision,
            manifest.vision(),
            wishes.without_vision,
            "Pictures",
        ),
    ] {
        if let (Tower::Absent, Some(bytes), false) = (tower, bytes, without) {
            why.push(format!(
                "{what} would take {} more: close other programs to use it.",
                size(bytes)
            ));
        }
    }
    let sizes = manifest.submodels();
    let next = sizes
        .iter()
        .find(|submodel| manifest.text_bytes(submodel) > manifest.text_bytes(&choice.submodel));
    let lacks = |tower, bytes: Option<u64>, without: bool| {
        bytes.is_some() && !without && tower != Tower::Resident
    };
    let is_complete = next.is_none()
        && !lacks(choice.vision, manifest.vision(), wishes.without_vision)
        && !lacks(choice.audio, manifest.audio(), wishes.without_audio);
    if let (Some(next), None) = (next, &wishes.submodel) {
        let needed = Choice {
            submodel: Arc::clone(next),
            context: USUAL_CONTEXT.min(choice.context),
            ..choice.clone()
        };
        why.push(format!(
            "The next size, {}, needs {}.",
            size_name(next, manifest),
            size(needed.total(manifest))
        ));
    }
    Plan {
        budget,
        bytes: choice.bytes(manifest),
        total,
        submodel: choice.submodel,
        vision: choice.vision,
        audio: choice.audio,
        context: choice.context,
        kv: manifest.kv_type().name(),
        is_complete,
        why,
    }
}

/// The published name, or the size of a mix.
fn size_name(submodel: &Submodel, manifest: &Manifest) -> String {
    match submodel.name() {
        "full" => "The whole model".to_owned(),
        name if name.contains('=') => {
            let parameters = submodel.effective_parameters(manifest.text_config());
            format!("{:.2} B", parameters as f64 / 1e9)
        }
        name => name.to_owned(),
    }
}

pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        1_000_000_000.. => format!("{:.2} GB", bytes as f64 / 1e9),
        _ => format!("{:.0} MB", bytes as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::testing::e4b;

    const MB: u64 = 1_000_000;

    fn budgets() -> impl Iterator<Item = u64> {
        (1_000..12_000).step_by(7).map(|megabytes| megabytes * MB)
    }

    #[test]
    fn a_plan_never_exceeds_its_budget_and_names_what_it_takes() {
        let manifest = e4b();
        let mut smallest = u64::MAX;
        for budget in budgets() {
            match plan(&manifest, budget, &Wishes::default()) {
                Ok(plan) => {
                    assert!(plan.total <= budget, "{plan:?}");
                    assert_eq!(plan.bytes.text, manifest.text_bytes(&plan.submodel));
                    assert!(plan.why[0].contains(&size(plan.total)), "{plan:?}");
                    smallest = smallest.min(budget);
                }
                Err(Error::DoesNotFit { needed, .. }) => {
                    assert!(needed > budget && budget < smallest)
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert!(smallest < 2_000 * MB, "{smallest}");
    }

    #[test]
    fn more_memory_never_gives_a_smaller_model() {
        let manifest = e4b();
        let plans = budgets().filter_map(|b| plan(&manifest, b, &Wishes::default()).ok());
        let sizes: Vec<u64> = plans.map(|plan| plan.bytes.text).collect();
        assert!(sizes.is_sorted());
        let distinct = sizes.chunk_by(|a, b| a == b).count();
        assert_eq!(distinct, manifest.submodels().len());
    }

    #[test]
    fn a_running_model_does_not_go_back_and_forth() {
        let manifest = e4b();
        let wishes = Wishes::default();
        for border in [2_500, 3_000, 3_500, 4_000] {
            let mut current = plan(&manifest, border * MB, &wishes).unwrap();
            for n in 0..200 {
                // Three percent around the border: it may have to shrink, but then it stays.
                let budget = border * MB / 100 * [100, 103, 98, 101, 97][n % 5];
                let next = replan(&manifest, budget, &wishes, &current).unwrap();
                // Once it has seen the lowest.
                assert!(n < 5 || next.is_none(), "changed at {budget}: {next:?}");
                if let Some(next) = next {
                    assert!(next.total <= budget);
                    assert!(next.bytes.text <= current.bytes.text, "grew at {budget}");
                    current = next;
                }
                assert!(current.total <= budget);
            }
            let freed = replan(&manifest, 12_000 * MB, &wishes, &current).unwrap();
            // The highest border has room for the whole model already.
            let freed = freed.as_ref().unwrap_or(&current);
            assert_eq!(freed.submodel.name(), "E4B");
        }
    }

    #[test]
    fn wishes_are_kept() {
        let manifest = e4b();
        let e2b = Arc::clone(&manifest.submodels()[0]);
        let wishes = Wishes {
            submodel: Some(e2b),
            context: Some(32_768),
            without_vision: true,
            ..Wishes::default()
        };
        let plan = plan(&manifest, 12_000 * MB, &wishes).unwrap();
        assert_eq!(plan.submodel.name(), "E2B");
        assert_eq!(
            (plan.context, plan.vision, plan.audio),
            (32_768, Tower::Absent, Tower::Resident)
        );
        assert_eq!(plan.why.len(), 1, "{:?}", plan.why);
    }

    #[test]
    fn little_memory_gives_up_context_then_pictures_then_sound() {
        let manifest = e4b();
        let of = |mb: u64| plan(&manifest, mb * MB, &Wishes::default()).unwrap();
        let plans: Vec<Plan> = (1_000..4_000)
            .filter_map(|mb| plan(&manifest, mb * MB, &Wishes::default()).ok())
            .collect();
        assert_eq!(
            (plans[0].vision, plans[0].audio),
            (Tower::Absent, Tower::Absent)
        );
        assert!(
            plans[0].why.iter().any(|s| s.contains("Sound would take")),
            "{:?}",
            plans[0].why
        );
        let all = of(11_000);
        assert_eq!((all.vision, all.audio), (Tower::Resident, Tower::Resident));
        assert_eq!(all.context, 32_768);
    }
}
