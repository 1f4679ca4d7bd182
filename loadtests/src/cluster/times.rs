//! How long something took, time and again.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// Some times; some of them never came.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Times {
    /// Ascending in the end.
    pub(crate) ms: Vec<f64>,
    /// Rounds in which it did not happen within the limit.
    pub(crate) never: u32,
    pub(crate) limit_s: f64,
}

impl Times {
    /// None so far; what takes longer than the limit counts as never.
    pub(crate) fn within(limit: Duration) -> Self {
        Self {
            limit_s: limit.as_secs_f64(),
            ..Self::default()
        }
    }

    /// How long it took this time; nothing if it never happened.
    pub(crate) fn add(&mut self, took: Option<Duration>) {
        match took {
            Some(took) => {
                let ms = took.as_secs_f64() * 1000.0;
                let at = self.ms.partition_point(|earlier| *earlier <= ms);
                self.ms.insert(at, ms);
            }
            None => self.never += 1,
        }
    }

    /// The time that this part of those that came took at most.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index"
    )]
    pub(crate) fn quantile(&self, part: f64) -> Option<f64> {
        let rank = (self.ms.len() as f64 * part).ceil() as usize;
        self.ms.get(rank.max(1) - 1).copied()
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounds = self.ms.len() + self.never as usize;
        if let (Some(half), Some(most), Some(max)) =
            (self.quantile(0.5), self.quantile(0.99), self.ms.last())
        {
            write!(f, "{half:9.1} {most:9.1} {max:9.1}   of {rounds}")?;
            if self.never > 0 {
                write!(f, ", {} never within {} s", self.never, self.limit_s)?;
            }
            return Ok(());
        }
        match rounds {
            0 => write!(f, "not measured"),
            _ => write!(f, "never within {} s, {rounds} times", self.limit_s),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_by_their_quantiles_and_what_never_came_beside_them() {
        let mut times = Times::within(Duration::from_secs(30));
        assert_eq!(times.quantile(0.5), None);
        assert_eq!(times.to_string(), "not measured");
        times.add(None);
        assert_eq!(times.to_string(), "never within 30 s, 1 times");
        for ms in (1..=50).rev() {
            times.add(Some(Duration::from_millis(ms)));
        }
        assert_eq!(times.quantile(0.5), Some(25.0));
        assert_eq!(times.quantile(0.99), Some(50.0));
        assert!(times.to_string().ends_with("of 51, 1 never within 30 s"));
    }
}
