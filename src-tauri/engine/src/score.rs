//! How probable the model finds given tokens.

use candle_core::{DType, Device, Tensor};
use gemma3n::{Prompt, Step, Wanted};

use crate::error::{Error, Result};
use crate::package::Package;

/// Logits held at once: 64 MiB of f32.
const LOGIT_VALUES: usize = 1 << 24;

#[derive(Clone, Debug, PartialEq)]
pub struct ScoredToken {
    pub id: u32,
    /// Natural logarithm of the probability given the tokens before; none for the first token.
    pub logprob: Option<f64>,
    /// The most probable tokens at this place, the first of equals first.
    pub top: Vec<(u32, f64)>,
}

/// Scores every token of a prompt: log-softmax over all logits of the head, none masked.
pub fn score(
    package: &Package,
    prompt: &Prompt,
    submodel: Option<&str>,
    top: usize,
) -> Result<Vec<ScoredToken>> {
    let model = package.model();
    let context = model.config().text.max_position_embeddings;
    if prompt.len() > context {
        return Err(Error::TooLong {
            needed: prompt.len(),
            context,
        });
    }
    let mut cache = model.new_cache(&package.submodel(submodel)?);
    let chunk = (LOGIT_VALUES / model.config().text.vocab_size).clamp(1, 512);
    let mut scored: Vec<ScoredToken> = prompt
        .ids()
        .first()
        .map(|&id| ScoredToken {
            id,
            logprob: None,
            top: Vec::new(),
        })
        .into_iter()
        .collect();
    // The last token's own logits are about what comes after it.
    let n_given = prompt.len().saturating_sub(1);
    for start in (0..n_given).step_by(chunk) {
        let end = (start + chunk).min(n_given);
        let mut steps = [Step {
            cache: &mut cache,
            tokens: prompt.slice(start..end),
            wanted: Wanted::All,
        }];
        let logits = model.step(&mut steps)?.expect("all were wanted");
        for (row, &id) in prompt.ids()[start + 1..=end].iter().enumerate() {
            let row = to_host(&logits.get(row)?)?;
            if row.iter().any(|l| l.is_nan()) {
                return Err(model.explain_not_finite().into());
            }
            scored.push(score_one(&row, id, top).ok_or(gemma3n::Error::TokenId {
                id,
                vocab_size: row.len(),
            })?);
        }
    }
    Ok(scored)
}

fn to_host(row: &Tensor) -> Result<Vec<f32>> {
    Ok(row
        .to_device(&Device::Cpu)?
        .to_dtype(DType::F32)?
        .to_vec1()?)
}

fn score_one(logits: &[f32], id: u32, top: usize) -> Option<ScoredToken> {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits
        .iter()
        .map(|&l| (f64::from(l) - f64::from(highest)).exp())
        .sum();
    let logprob = |l: f32| f64::from(l) - f64::from(highest) - sum.ln();
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    let descending = |a: &u32, b: &u32| {
        logits[*b as usize]
            .total_cmp(&logits[*a as usize])
            .then(a.cmp(b))
    };
    let top = top.min(order.len());
    if top > 0 && top < order.len() {
        order.select_nth_unstable_by(top - 1, descending);
    }
    order.truncate(top);
    order.sort_unstable_by(descending);
    Some(ScoredToken {
        id,
        logprob: Some(logprob(*logits.get(id as usize)?)),
        top: order
            .into_iter()
            .map(|id| (id, logprob(logits[id as usize])))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_sum_to_one_and_the_top_is_sorted() {
        let logits = [0.5, -1.0, 2.0, 2.0, 25.0];
        let sum: f64 = (0..5)
            .map(|id| score_one(&logits, id, 0).unwrap().logprob.unwrap().exp())
            .sum();
        assert!((sum - 1.0).abs() < 1e-12);
        let top = score_one(&logits, 0, 3).unwrap().top;
        assert_eq!(top.iter().map(|t| t.0).collect::<Vec<_>>(), [4, 2, 3]);
        assert!(score_one(&logits, 9, 1).is_none());
    }
}
