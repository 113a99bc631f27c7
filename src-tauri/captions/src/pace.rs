//! What is given up when the model is slower than the speakers, and how it comes back.
//!
//! Rules without a clock: they are told the time and how far behind the captions are. Each step down is taken as soon
//! as it is needed, but not before the one above had time to help; a step up needs a long calm, so that captions do
//! not swing. Whatever is given up, nothing that was said is lost: it lies in the recording until its turn.

/// How captions are made, from the best to the cheapest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pace {
    /// Interim text every second.
    #[default]
    Full,
    /// Interim text less often.
    LongerSteps,
    /// Text at the pauses alone.
    FinalsOnly,
    /// And translations when there is time for them.
    TranslateLater,
}

/// Decides on the pace.
#[derive(Clone, Debug, Default)]
pub struct Pacer {
    pace: Pace,
    changed_ms: Option<u32>,
    /// Since when the captions keep up.
    calm_ms: Option<u32>,
}

/// Further behind than this is told to the user, and answered by a step down.
pub const BEHIND_MS: u32 = 4_000;

/// Less than this is what a hypothesis takes.
const CALM_MS: u32 = 2_000;

/// How long a step down has to help before the next.
const DOWN_AFTER_MS: u32 = 6_000;

/// How long there must be calm before a step up.
const UP_AFTER_MS: u32 = 30_000;

impl Pace {
    /// New speech that is worth an interim hypothesis, in ms; none without such.
    pub fn step_ms(self) -> Option<u32> {
        match self {
            Self::Full => Some(1_000),
            Self::LongerSteps => Some(3_000),
            Self::FinalsOnly | Self::TranslateLater => None,
        }
    }

    pub fn translates(self) -> bool {
        self != Self::TranslateLater
    }

    fn down(self, translates: bool) -> Self {
        match self {
            Self::Full => Self::LongerSteps,
            Self::LongerSteps => Self::FinalsOnly,
            // Without translations there is nothing more to give up.
            Self::FinalsOnly if translates => Self::TranslateLater,
            lowest => lowest,
        }
    }

    fn up(self) -> Self {
        match self {
            Self::TranslateLater => Self::FinalsOnly,
            Self::FinalsOnly => Self::LongerSteps,
            Self::LongerSteps | Self::Full => Self::Full,
        }
    }
}

impl Pacer {
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// Takes how far behind the captions are at a time, and gives the pace if that changes it.
    pub fn update(&mut self, now_ms: u32, behind_ms: u32, translates: bool) -> Option<Pace> {
        let since_change = self
            .changed_ms
            .map(|changed| now_ms.saturating_sub(changed));
        if behind_ms >= CALM_MS {
            self.calm_ms = None;
        }
        let next = if behind_ms > BEHIND_MS {
            if since_change.is_some_and(|ms| ms < DOWN_AFTER_MS) {
                return None;
            }
            self.pace.down(translates)
        } else if behind_ms < CALM_MS {
            let calm = *self.calm_ms.get_or_insert(now_ms);
            if now_ms.saturating_sub(calm) < UP_AFTER_MS {
                return None;
            }
            self.pace.up()
        } else {
            return None;
        };
        if next == self.pace {
            return None;
        }
        self.pace = next;
        self.changed_ms = Some(now_ms);
        self.calm_ms = None;
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The changes of pace, by the second, for how far behind the captions are in each second.
    fn changes(behind: impl IntoIterator<Item = u32>, translates: bool) -> Vec<(u32, Pace)> {
        let mut pacer = Pacer::default();
        let seconds = behind.into_iter().enumerate();
        let change = |(s, behind_ms)| {
            let s = s as u32;
            let pace = pacer.update(s * 1000, behind_ms, translates)?;
            Some((s, pace))
        };
        seconds.filter_map(change).collect()
    }

    #[test]
    fn whoever_keeps_up_is_left_alone() {
        assert_eq!(changes([0, 900, 3900, 1900, 100].repeat(40), true), []);
    }

    #[test]
    fn steps_down_come_one_by_one() {
        let down = [
            (0, Pace::LongerSteps),
            (6, Pace::FinalsOnly),
            (12, Pace::TranslateLater),
        ];
        assert_eq!(changes([9000; 60], true), down);
        assert_eq!(changes([9000; 60], false), down[..2]);
    }

    #[test]
    fn steps_up_need_a_long_calm_each() {
        let behind = [vec![9000; 13], vec![0; 120]].concat();
        let up = [
            (43, Pace::FinalsOnly),
            (74, Pace::LongerSteps),
            (105, Pace::Full),
        ];
        assert_eq!(changes(behind, true)[3..], up);
        // A moment behind begins the calm anew.
        let behind = [vec![9000; 1], vec![0; 29], vec![2500; 1], vec![0; 29]].concat();
        assert_eq!(changes(behind, true), [(0, Pace::LongerSteps)]);
    }

    #[test]
    fn the_pace_says_what_is_done() {
        let steps = [
            Pace::Full,
            Pace::LongerSteps,
            Pace::FinalsOnly,
            Pace::TranslateLater,
        ];
        assert_eq!(
            steps.map(Pace::step_ms),
            [Some(1000), Some(3000), None, None]
        );
        assert_eq!(steps.map(Pace::translates), [true, true, true, false]);
    }
}
