//! What a node's `/metrics` say.

use std::collections::BTreeMap;

use crate::error::LoadError;

/// The values of one moment, by name with labels.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Asks a node.
    pub(super) async fn of(address: &str) -> Result<Self, LoadError> {
        let answer = reqwest::get(format!("http://{address}/metrics")).await?;
        Ok(Self::read(&answer.error_for_status()?.text().await?))
    }

    fn read(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let values = lines.filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Self(values.collect())
    }

    /// How much a counter has grown since an earlier look: all its values whose labels include this
    /// one, such as `cache_type="messages"`, taken together.
    pub(super) fn grown(&self, earlier: &Self, name: &str, label: &str) -> f64 {
        let is_meant = |full: &str| match full.split_once('{') {
            Some((own, labels)) => own == name && labels.contains(label),
            None => full == name && label.is_empty(),
        };
        let values = self.0.iter().filter(|(full, _)| is_meant(full));
        values
            .map(|(full, value)| value - earlier.0.get(full).unwrap_or(&0.0))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_grow() {
        let earlier = Metrics::read("# HELP hits Hits\nhits{kind=\"a\",x=\"1\"} 3\nall 1\n");
        let later = Metrics::read(
            "hits{kind=\"a\",x=\"1\"} 5\nhits{kind=\"a\",x=\"2\"} 1\nhits{kind=\"b\"} 70\n\
             hits_more{kind=\"a\"} 9\nall 2.5\n",
        );
        let grown = |name, label| later.grown(&earlier, name, label);
        for (name, label, wanted) in [
            ("hits", "kind=\"a\"", 3.0),
            ("hits", "kind=\"b\"", 70.0),
            ("all", "", 1.5),
            ("absent", "", 0.0),
        ] {
            assert!((grown(name, label) - wanted).abs() < 1e-9, "{name} {label}");
        }
    }
}
