//! From logits to the next token.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::generation::Generation;

/// Chooses tokens. The same seed and logits give the same tokens on every machine.
pub struct Sampler {
    generation: Generation,
    rng: ChaCha8Rng,
}

impl Sampler {
    pub fn new(generation: Generation, seed: u64) -> Self {
        Self {
            generation,
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// The next token. `seen` are the tokens of the context, which the repetition penalty concerns.
    ///
    /// The order of the steps is that of the reference's generation: penalty, temperature, top-k,
    /// top-p, min-p. `None` if a logit is not a number.
    pub fn sample(&mut self, mut logits: Vec<f32>, seen: &[u32]) -> Option<u32> {
        if logits.iter().any(|l| l.is_nan()) {
            return None;
        }
        self.penalise(&mut logits, seen);
        if self.generation.temperature == 0.0 {
            return argmax(&logits);
        }
        let temperature = f64::from(self.generation.temperature);
        let candidates: Vec<(u32, f64)> = highest(&logits, self.generation.top_k)
            .into_iter()
            .map(|(id, l)| (id, f64::from(l) / temperature))
            .collect();
        let mut weights = softmax(&candidates);
        cut_top_p(&mut weights, f64::from(self.generation.top_p));
        let least = weights[0] * f64::from(self.generation.min_p);
        let n = weights.iter().take_while(|&&w| w >= least).count();
        weights.truncate(n.max(1));

        let mut left = self.uniform() * weights.iter().sum::<f64>();
        for (weight, (id, _)) in weights.iter().zip(&candidates) {
            left -= weight;
            if left < 0.0 {
                return Some(*id);
            }
        }
        Some(candidates[weights.len() - 1].0)
    }

    fn penalise(&self, logits: &mut [f32], seen: &[u32]) {
        let penalty = self.generation.repetition_penalty;
        if penalty == 1.0 {
            return;
        }
        let mut done = vec![false; logits.len()];
        for &id in seen {
            let id = id as usize;
            // Media ids of the prompt are not among the logits.
            if id < logits.len() && !std::mem::replace(&mut done[id], true) {
                let logit = &mut logits[id];
                *logit = if *logit > 0.0 {
                    *logit / penalty
                } else {
                    *logit * penalty
                };
            }
        }
    }

    /// From 0 to below 1, with the 53 bits that an f64 holds.
    fn uniform(&mut self) -> f64 {
        (self.rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The highest logit; the first of equals, as the reference's argmax has it.
pub(crate) fn argmax(logits: &[f32]) -> Option<u32> {
    let mut best: Option<(u32, f32)> = None;
    for (id, &logit) in (0..).zip(logits) {
        if best.is_none_or(|(_, b)| logit > b) {
            best = Some((id, logit));
        }
    }
    best.map(|(id, _)| id)
}

/// The `k` highest logits in descending order, or all of them for 0.
fn highest(logits: &[f32], k: usize) -> Vec<(u32, f32)> {
    // Ties go to the lower id, so that the outcome does not depend on the sort.
    let descending = |a: &(u32, f32), b: &(u32, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
    let mut kept: Vec<(u32, f32)> = Vec::new();
    if k == 0 || k >= logits.len() {
        kept.extend((0..).zip(logits.iter().copied()));
    } else {
        // The lowest of `k` logits that were seen: what is not above it has no place any more.
        let mut bar = None;
        for (id, &logit) in (0..).zip(logits) {
            if bar.is_some_and(|bar: f32| logit.total_cmp(&bar).is_le()) {
                continue;
            }
            kept.push((id, logit));
            if kept.len() == 2 * k {
                kept.select_nth_unstable_by(k - 1, descending);
                kept.truncate(k);
                bar = Some(kept[k - 1].1);
            }
        }
    }
    kept.sort_unstable_by(descending);
    if k > 0 {
        kept.truncate(k);
    }
    kept
}

/// Probabilities of candidates in descending order.
fn softmax(candidates: &[(u32, f64)]) -> Vec<f64> {
    let highest = candidates[0].1;
    let weights: Vec<f64> = candidates
        .iter()
        .map(|(_, l)| (l - highest).exp())
        .collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|w| w / sum).collect()
}

/// Keeps the first probabilities up to the one that reaches `top_p`.
fn cut_top_p(weights: &mut Vec<f64>, top_p: f64) {
    let mut sum = 0.0;
    let n = weights
        .iter()
        .take_while(|&&w| {
            let before = sum;
            sum += w;
            before < top_p
        })
        .count();
    weights.truncate(n.max(1));
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 5] = [1.0, 4.0, 2.0, 4.0, -3.0];

    fn drawn(generation: &Generation, n: usize) -> Vec<usize> {
        let mut sampler = Sampler::new(generation.clone(), 11);
        let mut counts = vec![0; LOGITS.len()];
        for _ in 0..n {
            counts[sampler.sample(LOGITS.to_vec(), &[]).unwrap() as usize] += 1;
        }
        counts
    }

    fn all() -> Generation {
        Generation {
            top_k: 0,
            top_p: 1.0,
            ..Generation::default()
        }
    }

    #[test]
    fn the_highest_are_those_of_a_full_sort() {
        for n in [1, 5, 64, 1000] {
            // Many ties, and both zeros.
            let logits: Vec<f32> = (0..n)
                .map(|i| ((i * 7919 % 83) as f32 - 41.0) * 0.5)
                .collect();
            let logits = [logits, vec![0.0, -0.0]].concat();
            let mut sorted: Vec<(u32, f32)> = (0..).zip(logits.iter().copied()).collect();
            sorted.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            for k in [0, 1, 2, 40, 64, 5000] {
                let n_kept = if k == 0 {
                    logits.len()
                } else {
                    k.min(logits.len())
                };
                assert_eq!(highest(&logits, k), sorted[..n_kept], "{n} {k}");
            }
        }
    }

    #[test]
    fn frequencies_follow_the_softmax() {
        let counts = drawn(&all(), 20_000);
        let weights: Vec<f64> = LOGITS.iter().map(|&l| f64::from(l).exp()).collect();
        let sum: f64 = weights.iter().sum();
        for (count, weight) in counts.iter().zip(&weights) {
            let (p, share) = (weight / sum, *count as f64 / 20_000.0);
            // Five standard deviations of a share of 20 000 draws.
            assert!((share - p).abs() < 5.0 * (p * (1.0 - p) / 20_000.0).sqrt() + 1e-9);
        }
    }

    #[test]
    fn each_cut_leaves_what_it_should() {
        let kept = |generation: Generation| -> Vec<usize> {
            let counts = drawn(&generation, 2_000);
            (0..LOGITS.len()).filter(|&i| counts[i] > 0).collect()
        };
        assert_eq!(kept(Generation { top_k: 1, ..all() }), [1]); // of equals the lower id
        assert_eq!(kept(Generation { top_k: 2, ..all() }), [1, 3]);
        assert_eq!(
            kept(Generation {
                top_p: 0.3,
                ..all()
            }),
            [1]
        );
        assert_eq!(
            kept(Generation {
                top_p: 0.5,
                ..all()
            }),
            [1, 3]
        );
        assert_eq!(
            kept(Generation {
                min_p: 0.1,
                ..all()
            }),
            [1, 2, 3]
        );
        assert_eq!(
            kept(Generation {
                temperature: 0.0,
                ..all()
            }),
            [1]
        );
    }

    #[test]
    fn the_penalty_concerns_what_was_seen_once() {
        let generation = Generation {
            temperature: 0.0,
            repetition_penalty: 3.0,
            ..all()
        };
        let mut sampler = Sampler::new(generation, 0);
        assert_eq!(sampler.sample(LOGITS.to_vec(), &[1, 1, 1, 900]), Some(3));
        assert_eq!(sampler.sample(LOGITS.to_vec(), &[1, 3]), Some(2));
        assert_eq!(sampler.sample(vec![-1.0, -2.0], &[0]), Some(1));
    }

    #[test]
    fn a_seed_repeats_and_nan_is_noticed() {
        let draw = |seed| {
            let mut sampler = Sampler::new(all(), seed);
            (0..50)
                .map(|_| sampler.sample(LOGITS.to_vec(), &[]))
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(5), draw(5));
        assert_ne!(draw(5), draw(6));
        assert_eq!(
            Sampler::new(all(), 0).sample(vec![0.0, f32::NAN], &[]),
            None
        );
    }
}
