//! Which master of a cluster has which slots.

use redis::Value;

use super::slot::SLOTS;

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// The answer to `CLUSTER SLOTS`: slots from the first to the last, and their master; ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Topology {
    ranges: Vec<(u16, u16, Place)>,
}

impl Topology {
    /// Reads the answer of the server at `asked`; none if it is none.
    pub(crate) fn read(answer: &Value, asked: &Place) -> Option<Self> {
        let Value::Array(ranges) = answer else {
            return None;
        };
        let mut ranges: Vec<_> = ranges
            .iter()
            .map(|range| read_range(range, asked))
            .collect::<Option<_>>()?;
        ranges.sort_by_key(|(first, ..)| *first);
        Some(Self { ranges })
    }

    /// The masters.
    pub(crate) fn masters(&self) -> Vec<&Place> {
        let mut masters: Vec<&Place> = Vec::new();
        for (_, _, place) in &self.ranges {
            if !masters.contains(&place) {
                masters.push(place);
            }
        }
        masters
    }

    /// A slot's master.
    pub(crate) fn owner(&self, slot: u16) -> Option<&Place> {
        let after = self.ranges.partition_point(|(first, ..)| *first <= slot);
        let (_, last, place) = self.ranges.get(after.checked_sub(1)?)?;
        (slot <= *last).then_some(place)
    }

    /// Whether each slot has one.
    pub(crate) fn is_complete(&self) -> bool {
        let mut next = 0;
        for (first, last, _) in &self.ranges {
            if *first > next {
                return false;
            }
            next = next.max(last.saturating_add(1));
        }
        next >= SLOTS
    }
}

fn read_range(range: &Value, asked: &Place) -> Option<(u16, u16, Place)> {
    let Value::Array(fields) = range else {
        return None;
    };
    // What follows are replicas.
    let [
        Value::Int(first),
        Value::Int(last),
        Value::Array(master),
        ..,
    ] = &fields[..]
    else {
        return None;
    };
    let [host, Value::Int(port), ..] = &master[..] else {
        return None;
    };
    let host = match host {
        Value::BulkString(host) => std::str::from_utf8(host).ok()?,
        Value::SimpleString(host) => host,
        // It does not know how it is reached: as it was.
        Value::Nil => "",
        _ => return None,
    };
    // "?" stands for a name that was not set.
    let host = if host.is_empty() || host == "?" {
        &asked.host
    } else {
        host
    };
    let (first, last) = (u16::try_from(*first).ok()?, u16::try_from(*last).ok()?);
    let place = Place {
        host: host.to_owned(),
        port: u16::try_from(*port).ok()?,
    };
    (first <= last && last < SLOTS).then_some((first, last, place))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(host: &str, port: u16) -> Place {
        Place {
            host: host.into(),
            port,
        }
    }

    fn range(first: i64, last: i64, host: Value, port: i64) -> Value {
        let node = |host: Value| Value::Array(vec![host, Value::Int(port), Value::Nil]);
        let replica = node(Value::BulkString(b"replica".to_vec()));
        Value::Array(vec![
            Value::Int(first),
            Value::Int(last),
            node(host),
            replica,
        ])
    }

    fn text(host: &str) -> Value {
        Value::BulkString(host.into())
    }

    #[test]
    fn a_slot_has_the_master_that_the_cluster_names() {
        let answer = Value::Array(vec![
            range(8000, 16_383, text("b"), 2),
            range(0, 7000, text(""), 1),
            range(7001, 7999, Value::Nil, 3),
        ]);
        let topology = Topology::read(&answer, &place("a", 9)).unwrap();
        assert!(topology.is_complete());
        assert_eq!(topology.owner(0), Some(&place("a", 1)));
        assert_eq!(topology.owner(7000), Some(&place("a", 1)));
        assert_eq!(topology.owner(7001), Some(&place("a", 3)));
        assert_eq!(topology.owner(16_383), Some(&place("b", 2)));
        assert_eq!(topology.masters().len(), 3);
    }

    #[test]
    fn slots_without_a_master_are_noticed() {
        let answer = Value::Array(vec![
            range(1, 7000, text("a"), 1),
            range(7002, 16_383, text("b"), 2),
        ]);
        let topology = Topology::read(&answer, &place("x", 9)).unwrap();
        assert!(!topology.is_complete());
        assert_eq!(topology.owner(0), None);
        assert_eq!(topology.owner(7001), None);
        assert!(!Topology::default().is_complete());
        let answer = Value::Array(vec![range(0, 16_382, text("a"), 1)]);
        assert!(
            !Topology::read(&answer, &place("x", 9))
                .unwrap()
                .is_complete()
        );
    }

    #[test]
    fn nonsense_is_no_answer() {
        for answer in [
            Value::Nil,
            Value::Array(vec![Value::Int(1)]),
            Value::Array(vec![range(5, 4, text("a"), 1)]),
            Value::Array(vec![range(0, 16_384, text("a"), 1)]),
            Value::Array(vec![range(0, 1, text("a"), 70_000)]),
            Value::Array(vec![range(0, 1, Value::Int(1), 1)]),
        ] {
            assert_eq!(Topology::read(&answer, &place("x", 9)), None, "{answer:?}");
        }
    }
}
